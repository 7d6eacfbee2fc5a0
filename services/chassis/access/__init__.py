"""Who may come in and how we go out: tokens, TLS, and acting for somebody else."""
