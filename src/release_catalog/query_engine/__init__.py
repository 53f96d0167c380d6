"""How a question becomes one read: what all of a level asks for goes to the database together."""
