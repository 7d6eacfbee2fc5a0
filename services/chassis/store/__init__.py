"""The store: closures in transactions, on SQLite (and PostgreSQL)."""
