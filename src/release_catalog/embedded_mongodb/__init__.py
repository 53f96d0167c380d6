"""Run a MongoDB for a catalog that has no other."""
