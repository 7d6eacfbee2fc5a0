"""The content model that agents, models and people exchange, shared by all services."""
