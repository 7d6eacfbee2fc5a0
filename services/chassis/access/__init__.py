"""Who may call, and how a process calls others: tokens, TLS, policy rows, on behalf of whom."""
