"""The settings of a process from its environment, and its listen address."""
