"""Shared test code: a catalog, clients, servers and generators of input."""
