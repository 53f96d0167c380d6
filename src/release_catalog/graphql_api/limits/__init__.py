"""Limit documents, inputs and the cost of operations before they are executed."""
