"""Compiled execution of GraphQL queries, in which all lookups of a level go to the database together."""
