"""Define the mutations, their inputs and their payloads."""
