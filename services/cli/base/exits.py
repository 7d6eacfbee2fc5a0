"""How a command ends: exit codes that scripts can use, and errors that say what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_INTERRUPTED: Final = 130


class CliError(Exception):
    """Ends the command; printed without a traceback.

    Args:
        message: What went wrong, lower case.
        reason: Stable code for scripts, ``RUN_NOT_FOUND``.
        hint: What to do next; empty when it is not known.
        details: More lines, one problem each.
        exit_code: 1 failed, 2 usage or configuration, 3 unavailable.
        facts: What the server said beside the message, ``{"current": "7"}``; for programs.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "FAILED",
        hint: str = "",
        details: tuple[str, ...] = (),
        exit_code: int = EXIT_FAILED,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.hint = hint
        self.details = details
        self.exit_code = exit_code
        self.facts = dict(facts or {})
