"""The authentication of callers, and their permissions."""
