"""Calls to other servers, the call that is being served, and errors on the wire."""
