"""How long a call may run: the caller's deadline, never beyond the method's cap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.interceptors.arities import Context


class DeadlineExceededError(DomainError):
    """The call ran as long as its method allows; what it did by then may or may not stand."""

    kind = ErrorKind.DEADLINE
    reason = "DEADLINE_EXCEEDED"
    retry = Retry.RETRYABLE


def time_left(context: Context, cap_s: float | None) -> Callable[[], float | None]:
    """A function that answers the seconds left of this call, None for no limit."""
    if cap_s is None:
        return context.time_remaining
    clock = asyncio.get_running_loop().time
    ends_s = clock() + cap_s

    def left() -> float | None:
        capped_s = max(0.0, ends_s - clock())
        sent_s: float | None = context.time_remaining()
        return capped_s if sent_s is None else min(capped_s, sent_s)

    return left


@asynccontextmanager
async def capped(context: Context, cap_s: float | None) -> AsyncIterator[None]:
    """Interrupt the block after ``cap_s``; the caller's own deadline is gRPC's to enforce.

    Raises:
        DeadlineExceededError: The cap was reached.
    """
    sent_s: float | None = context.time_remaining()
    if cap_s is None or (sent_s is not None and sent_s <= cap_s):
        yield
        return
    try:
        async with asyncio.timeout(cap_s) as timer:
            yield
    except TimeoutError as error:
        if not timer.expired():
            raise
        raise DeadlineExceededError(
            f"the call took longer than the {cap_s:g} s its method allows", cap_s=f"{cap_s:g}"
        ) from error
