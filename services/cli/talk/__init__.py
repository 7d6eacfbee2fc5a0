"""Talk to the servers: options, endpoints, credentials, channels and what errors mean."""
