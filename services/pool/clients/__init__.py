"""Clients of the services that the pool calls."""
