"""What the registry knows and decides, without any I/O."""
