"""What a command writes, and why it is refused."""
