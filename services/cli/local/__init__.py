"""The four servers on this machine: ports and settings, processes, restarts and drains."""
