"""A relay of TCP connections that a test can reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Closing a socket with it sends a reset in place of what is left.
_LINGER_NOT = struct.pack("ii", 1, 0)


class TcpRelay:
    """Attributes: ``port``, on the loopback interface."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def reset(self) -> None:
        """Reset every connection of a client."""
        while self._clients:
            client = self._clients.pop()
            found: socket.socket = client.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            client.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            ways = [asyncio.create_task(_pump(*way)) for way in ((reader, back), (there, writer))]
            self._tasks.update(ways)
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._clients.discard(writer)
            back.transport.abort()
            writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass


@asynccontextmanager
async def tcp_relay(to_port: int) -> AsyncIterator[TcpRelay]:
    """Relay from a free port of the loopback interface."""
    relay = TcpRelay(to_port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.reset()
