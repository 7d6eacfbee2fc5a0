"""A gRPC server as a process: start, handlers, health, drain."""
