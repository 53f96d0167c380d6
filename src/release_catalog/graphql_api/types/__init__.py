"""Define the GraphQL types that queries answer with."""
