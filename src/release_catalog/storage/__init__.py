"""Where it is kept: the only code that knows MongoDB. Every verb takes the caller first, then the database."""
