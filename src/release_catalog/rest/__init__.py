"""The addresses at which S1 and S2 take releases, and the description of all addresses outside GraphQL."""
