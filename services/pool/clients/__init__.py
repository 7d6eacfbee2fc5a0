"""What the pool service calls."""
