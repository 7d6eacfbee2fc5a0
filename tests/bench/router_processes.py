"""The processes beside the router in ``bench_router``: the provider of all arms, and the relay.

    python -m tests.bench.router_processes provider | relay PROVIDER_URL

Each prints its port on a line of its own, and ends at the end of its input.

The provider answers every chat completion with the same 201 events: 200 deltas and the finish, then
the terminator. It writes them one by one: as fast as they are taken for the model ``fast``, one
every 20 ms for the model ``paced``.

The relay is what a proxy of the router's shape costs at least: it posts the bytes of the request as
they are, splits what it reads into events, and sends these as they are over grpc.aio: what one read
brought in one message, of at most 64 events.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
from aiohttp import web

from services.chassis.clock import SystemClock
from services.chassis.server.loop import run
from services.router.clients.sse import SseParser
from services.router.core.limits import MAX_FRAME_ITEMS

DELTAS = 200
# What all deltas have in common: a proxy may take a text that repeats for a fault.
WORDS = " words of text "
DELTA_BYTES = 3 + len(WORDS)
PAUSE_S = 0.02
PACED = "paced"
FAST = "fast"
RELAY_METHOD = "/bench.Relay/Relay"

_END = b"data: [DONE]\n\n"


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


_DELTA_EVENTS = [event({"content": f"{number:03d}{WORDS}"}) for number in range(DELTAS)]
_FINISH_EVENT = event({}, "stop")


async def answer(request: web.Request) -> web.StreamResponse:
    pause_s = PAUSE_S if (await request.json())["model"] == PACED else 0.0
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for delta in _DELTA_EVENTS:
        await response.write(delta)
        if pause_s:
            await SystemClock().sleep(pause_s)
    await response.write(_FINISH_EVENT)
    await response.write(_END)
    await response.write_eof()
    return response


@asynccontextmanager
async def provider() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Relay:
    """One method, whose request is the body to post."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def relay(self, body: bytes, _context: Any) -> AsyncIterator[bytes]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        async with self._session.post(self._url, data=body, headers=headers) as response:
            parser = SseParser()
            while chunk := await response.content.readany():
                events = [found.data for found in parser.feed(chunk)]
                for first in range(0, len(events), MAX_FRAME_ITEMS):
                    yield b"\n".join(events[first : first + MAX_FRAME_ITEMS])


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[int]:
    server = grpc.aio.server()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        handler = grpc.unary_stream_rpc_method_handler(Relay(session, url).relay)
        service, method = RELAY_METHOD.strip("/").split("/")
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield port
        finally:
            await server.stop(0)


async def main(arm: str, *arguments: str) -> None:
    serving = relay(*arguments) if arm == "relay" else provider()
    async with serving as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
