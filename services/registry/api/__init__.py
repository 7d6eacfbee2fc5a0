"""The registry's face on the wire."""
