"""The rules of the catalog, as pure functions: no I/O and no framework."""
