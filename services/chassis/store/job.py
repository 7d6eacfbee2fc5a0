"""A closure on its way through a thread, and back to who awaits it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.chassis.store.port import Tx


@dataclass(slots=True)
class Job:
    """One closure and its caller.

    Attributes:
        queued_at_s: When it was accepted, by ``time.monotonic``.
    """

    fn: Callable[[Tx], Any]
    answer: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None
    queued_at_s: float = field(default_factory=time.monotonic)

    def settle(self) -> None:
        if self.answer.done():  # the caller was cancelled; its effect stands
            return
        if self.error is None:
            self.answer.set_result(self.value)
        else:
            self.answer.set_exception(self.error)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # a future refuses it
            error = RuntimeError(f"closure raised {error!r}")
        self.error = error
