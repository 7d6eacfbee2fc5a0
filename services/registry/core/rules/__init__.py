"""What makes a resource or a change legal."""
