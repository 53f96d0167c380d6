"""What tests share: a catalog, clients, servers and generators of input."""
