"""The store on PostgreSQL: one thread per connection."""
