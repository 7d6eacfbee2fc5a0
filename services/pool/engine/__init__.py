"""Loops of the pool service."""
