"""Following a log by cursor: notifications, shared reads, and streams that end on a drain."""
