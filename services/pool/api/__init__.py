"""The wire face of the pool service."""
