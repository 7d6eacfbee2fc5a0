"""What surrounds every handler of a server; its concerns in one list."""
