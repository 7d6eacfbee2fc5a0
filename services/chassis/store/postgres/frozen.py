"""Shut down connections to a server that neither answers nor closes, so that calls fail.

The kernel of a stopped process, or of one that waits for a hanging disk, still acknowledges TCP
packets: TCP time-outs do not end the wait, and the server's own time-outs do not run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.chassis.store.postgres.session import Session

_CHECKS_PER_LIMIT = 10
_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def shut_down_frozen(sessions: Sequence[Session], limit_s: float) -> AsyncIterator[None]:
    """Shut down each connection that has run one closure for longer than ``limit_s``."""
    watching = asyncio.ensure_future(_watch(sessions, limit_s))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(sessions: Sequence[Session], limit_s: float) -> None:
    while True:
        # The real clock, not the store's: tests move that one, and a server freezes in real time.
        await asyncio.sleep(limit_s / _CHECKS_PER_LIMIT)
        before_s = time.monotonic() - limit_s
        for session in sessions:
            since_s = session.busy_since_s
            if since_s is not None and since_s < before_s and session.shut_down():
                _LOG.warning("the database does not answer", extra={"limit_s": limit_s})
