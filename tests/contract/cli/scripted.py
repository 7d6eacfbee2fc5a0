"""Servers that answer with what a test has prepared, and a clock that nobody has to wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from tests.support.clock import ManualClock

T = TypeVar("T")


class PassingClock(ManualClock):
    """Time that passes by itself whenever somebody sleeps."""

    async def sleep(self, delay_s: float) -> None:
        self.advance(delay_s)


async def stream_of(items: Iterable[T | grpc.StatusCode], context: Any) -> AsyncIterator[T]:
    """The items of one call; a status among them ends it."""
    for item in items:
        if isinstance(item, grpc.StatusCode):
            await context.abort(item, "scripted")
        yield item


@asynccontextmanager
async def served(add: Callable[[Any, grpc.aio.Server], None], servicer: Any) -> AsyncIterator[str]:
    """Serve ``servicer``, which may lack methods that nobody calls; gives the address."""
    server = grpc.aio.server()
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
