"""Reading and writing protobuf messages, the same way in every service."""
