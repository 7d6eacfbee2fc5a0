"""Whether a store takes writes: its threads tell, health and ``GetServerInfo`` ask.

a write fails for want of the database ──► cause ──► a write is tried every INTERVAL_S ──► none
the database is damaged or gone        ──► cause, and no write is accepted any more
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from services.chassis.errors import StoreUnavailableError
from services.chassis.failpoints import FailpointError
from services.chassis.store.errors import DatabaseLostError

INTERVAL_S = 0.5
# A write that is tried takes milliseconds; it waits longer when the database does not answer.
PATIENCE_S = 1.0
NO_ANSWER = "NO_ANSWER"

_LOG = logging.getLogger(__name__)


class Availability:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cause = ""
        self._lost = ""

    @property
    def cause(self) -> str:
        """Why writes fail at present, as the ``cause`` of their errors; empty while they do not."""
        return self._lost or self._cause

    @property
    def lost(self) -> bool:
        """Whether writes are refused for good."""
        return bool(self._lost)

    def refuse_lost(self) -> None:
        """Raises: DatabaseLostError: A thread has found the database damaged or gone."""
        if self._lost:
            raise DatabaseLostError.of(self._lost)

    def note_write(self, error: Exception) -> None:
        """Tell why a write failed; what is no failure of the database is ignored."""
        self.note_read(error)
        if isinstance(error, StoreUnavailableError) and not isinstance(error, FailpointError):
            self.failed(error.metadata.get("cause", ""))

    def note_read(self, error: Exception) -> None:
        """Tell why a read failed: only a lost database matters."""
        if isinstance(error, DatabaseLostError):
            with self._lock:
                is_news, self._lost = not self._lost, self._lost or error.metadata["cause"]
            if is_news:
                _LOG.error("the database is lost: no more writes", extra={"cause": self._lost})

    def failed(self, cause: str) -> None:
        with self._lock:
            is_news, self._cause = not self._cause, cause
        if is_news and cause:
            _LOG.warning("the database takes no writes", extra={"cause": cause})

    def restored(self) -> None:
        with self._lock:
            was_away, self._cause = bool(self._cause), ""
        if was_away:
            _LOG.info("the database takes writes again")

    async def watch(
        self, in_doubt: Callable[[], bool], attempt: Callable[[], Awaitable[object]]
    ) -> None:
        """While writes fail or are in doubt, try one every ``INTERVAL_S``; until lost or cancelled.

        Args:
            attempt: Writes, and thereby finds out.
        """
        attempting: asyncio.Future[object] | None = None
        try:
            while not self.lost:
                await asyncio.sleep(INTERVAL_S)
                if attempting is None and (in_doubt() or self._cause):
                    attempting = asyncio.ensure_future(attempt())
                if attempting is not None and await self._judged(attempting):
                    attempting = None
        finally:
            if attempting is not None:
                attempting.cancel()

    async def _judged(self, attempting: asyncio.Future[object]) -> bool:
        """Whether the attempt has come to an end."""
        await asyncio.wait({attempting}, timeout=PATIENCE_S)
        if not attempting.done():
            self.failed(NO_ANSWER)
            return False
        error = attempting.exception()
        if isinstance(error, DatabaseLostError | StoreUnavailableError):
            self.note_write(error)
        else:
            # Whatever else it met, as a missing right, the database has answered.
            self.restored()
        return True


@asynccontextmanager
async def watching(
    availability: Availability,
    in_doubt: Callable[[], bool],
    attempt: Callable[[], Awaitable[object]],
) -> AsyncIterator[None]:
    """Run ``Availability.watch`` during the block."""
    watch = asyncio.ensure_future(availability.watch(in_doubt, attempt))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
