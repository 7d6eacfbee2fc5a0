"""The implementation of Runyard's services; the public contract is the package ``runyard``."""
