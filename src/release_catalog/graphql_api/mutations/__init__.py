"""The mutations, their inputs and their payloads."""
