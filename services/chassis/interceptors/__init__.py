"""What surrounds every handler of a server: one interceptor, its concerns in one list."""
