"""What is true: the catalog's rules, as pure functions. No I/O and no framework."""
