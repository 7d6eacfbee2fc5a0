"""A connection that can go dead without being closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65_536


class Relay:
    """Carries TCP connections to a port of this machine.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._open: list[asyncio.Event] = []
        self._carrying: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Carry nothing more on what is connected now, and close nothing."""
        for stalled in self._open:
            stalled.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        stalled = asyncio.Event()
        self._open.append(stalled)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(_carry(source, sink, stalled))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, stalled: asyncio.Event
) -> None:
    try:
        with suppress(ConnectionError):
            while data := await source.read(_CHUNK_BYTES):
                if stalled.is_set():
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
            if stalled.is_set():
                await asyncio.Event().wait()
    finally:
        sink.close()
