"""A server that neither answers nor closes: its connections are cut, so that callers hear of it.

A process that is stopped, or waits for a disk that hangs, still has a kernel that acknowledges what
is sent to it: no limit of TCP ends the wait, and those of the server need the server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.chassis.store.postgres_session import Session

_LOOKS_PER_LIMIT = 10
_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def cut_when_frozen(sessions: Sequence[Session], limit_s: float) -> AsyncIterator[None]:
    """Cut each of ``sessions`` that is at one closure for longer than ``limit_s``."""
    watching = asyncio.ensure_future(_watch(sessions, limit_s))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(sessions: Sequence[Session], limit_s: float) -> None:
    while True:
        # Of the real clock: whatever time it is for the closures, a server is frozen for real.
        await asyncio.sleep(limit_s / _LOOKS_PER_LIMIT)
        before_s = time.monotonic() - limit_s
        for session in sessions:
            since_s = session.busy_since_s
            if since_s is not None and since_s < before_s and session.cut():
                _LOG.warning("the database does not answer", extra={"limit_s": limit_s})
