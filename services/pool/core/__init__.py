"""What a pool is and how it decides: pure."""
