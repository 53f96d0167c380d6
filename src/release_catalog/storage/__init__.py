"""Storage: the only code that knows MongoDB. Every function takes the caller first, then the database."""
