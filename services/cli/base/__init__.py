"""What every part of the command stands on: exit codes, the terminal, the services' names."""
