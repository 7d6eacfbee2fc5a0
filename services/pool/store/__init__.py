"""Pools in a database: tables, statements, and the adapter of the core's ports."""
