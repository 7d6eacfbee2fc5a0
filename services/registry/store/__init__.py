"""The registry's tables and the adapter of its store port."""
