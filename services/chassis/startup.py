"""Why a process does not start, in words for its operator."""

from __future__ import annotations


class StartupRefusedError(Exception):
    """The process cannot run as configured; the message is one line and names the fix.

    ``process.run`` prints it without a traceback and exits with code 2.
    """
