"""The version schemes, one module each: their valid versions, their order, and their constraints."""
