"""Manifests: from YAML to messages by their descriptors, and back."""
