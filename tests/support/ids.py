"""Ids that a test can predict."""

from __future__ import annotations


class SequentialIds:
    """``prefix-1``, ``prefix-2``, …"""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._last = 0

    def new_id(self) -> str:
        self._last += 1
        return f"{self._prefix}-{self._last}"
