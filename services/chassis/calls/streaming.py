"""Consuming a stream so that leaving it, however that happens, ends it at the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar


class Cancellable(Protocol):
    def done(self) -> bool: ...

    def cancel(self) -> bool: ...


C = TypeVar("C", bound=Cancellable)


@asynccontextmanager
async def streaming(call: C) -> AsyncIterator[C]:
    """Hold ``call`` for the length of the block and cancel it on the way out.

    A call that is merely dropped keeps its handler running at the server: until garbage collection
    on most versions of grpcio, until the channel closes on 1.83 to 1.85.
    """
    try:
        yield call
    finally:
        if not call.done():
            call.cancel()
