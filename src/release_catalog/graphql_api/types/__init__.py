"""The GraphQL types that queries answer with."""
