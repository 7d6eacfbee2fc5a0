"""The store on SQLite: one writer thread, two reader threads."""
