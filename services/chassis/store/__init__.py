"""Closures in transactions, on SQLite and PostgreSQL."""
