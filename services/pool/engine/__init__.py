"""The background loop of the pool service."""
