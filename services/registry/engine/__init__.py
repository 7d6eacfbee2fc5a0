"""The registry's streams."""
