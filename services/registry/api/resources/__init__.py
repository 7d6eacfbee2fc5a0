"""The resources on the wire, a file per kind."""
