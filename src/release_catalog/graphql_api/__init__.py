"""The GraphQL API: Strawberry types that read MongoDB documents, and the queries over them."""
