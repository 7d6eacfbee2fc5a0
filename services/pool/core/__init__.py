"""The decisions of the pool service, without input or output."""
