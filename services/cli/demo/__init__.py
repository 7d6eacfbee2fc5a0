"""What ``runyard demo`` does, and the manifests that it applies."""
