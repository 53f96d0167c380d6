"""How it is asked for: Strawberry types that read MongoDB documents, and the queries over them."""
