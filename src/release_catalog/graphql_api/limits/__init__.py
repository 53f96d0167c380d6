"""Limits on documents, inputs and the cost of operations, checked before execution."""
