"""The contract of the pool service: requests, responses and RPCs."""
