"""Resources, versions and changes of the registry."""
