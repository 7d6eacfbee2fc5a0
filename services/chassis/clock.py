"""Time as an argument: the port that every timed decision and loop takes, and the real clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The instant to persist or compare with persisted ones: aware, UTC."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never going back: for intervals within a process."""

    async def sleep(self, delay_s: float) -> None:
        """Return after ``delay_s`` of this clock; at once when it is not positive."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))
