"""A model provider that brings each call to one point and leaves it there, and sees it go.

What a request gets is named by its model; the text of its last message identifies the call, or is
``fail``, which gets an error of the server:

refusing    a rate limit for a millisecond
waiting     a rate limit for 5 s
silent      nothing
begun       the role, no content
streaming   some content, then nothing more
flooding    content for ever
ending      a whole answer, whose connection stays open
whole       a whole answer
long        a whole answer of 400 KiB, which takes a second
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from services.chassis.clock import SystemClock
from tests.support.fake_provider import chunk, finish, text

FAIL = "fail"
LONG_DELTAS = 100
_FLOOD = chunk({"content": "x" * 60_000})
_STALLS: Mapping[str, list[bytes]] = {
    "begun": text(),
    "streaming": text("some content"),
    "ending": [*text("all of it"), finish()[0]],
}
_WHOLE = b"".join([*text(*["four words of text "] * 50), *finish()])
_LONG = [*text(*["x" * 4096] * LONG_DELTAS), *finish()]
_LONG_PAUSE_S = 0.01
_REFUSALS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    FAIL: (500, {}),
    "refusing": (429, {"retry-after-ms": "1"}),
    "waiting": (429, {"retry-after": "5"}),
}


@dataclass
class Seen:
    """What happened to one call; instants are of the monotonic clock.

    Attributes:
        refused: Its models that refused it.
        reached: It is where its model leaves it.
        closed: Its connection was found closed, at ``closed_at_s``.
    """

    refused: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    closed_at_s: float = 0.0


class StallingProvider:
    """A server on a free port.

    Attributes:
        open_now: Requests that are being answered.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.open_now = 0
        self._calls: dict[str, Seen] = {}

    def expect(self, call_id: str) -> Seen:
        """What will be seen of a call."""
        return self._calls.setdefault(call_id, Seen())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked = body["messages"][-1]["content"]
        model = FAIL if asked == FAIL else body["model"]
        seen = self._calls.get(asked, Seen())
        if model in _REFUSALS:
            seen.refused.append(model)
            status, headers = _REFUSALS[model]
            return web.json_response({"error": {}}, status=status, headers=headers)
        self.open_now += 1
        try:
            return await self._answer(request, model, seen)
        except (ConnectionResetError, asyncio.CancelledError):
            seen.closed_at_s = SystemClock().monotonic_s()
            seen.closed.set()
            raise
        finally:
            self.open_now -= 1

    async def _answer(self, request: web.Request, model: str, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if model == "silent":
            seen.reached.set()
            await asyncio.Event().wait()
        await response.prepare(request)
        if model == "flooding":
            await _flood(request, response, seen)
        if model in _STALLS:
            for event in _STALLS[model]:
                await response.write(event)
            seen.reached.set()
            await asyncio.Event().wait()
        for event in _LONG if model == "long" else [_WHOLE]:
            await response.write(event)
            if model == "long":
                await SystemClock().sleep(_LONG_PAUSE_S)
        await response.write_eof()
        return response


async def _flood(request: web.Request, response: web.StreamResponse, seen: Seen) -> None:
    """Write until the client stops to read, and beyond."""
    assert request.transport is not None
    while True:
        await response.write(_FLOOD)
        await asyncio.sleep(0)
        if request.transport.get_write_buffer_size() > 0:
            seen.reached.set()


@asynccontextmanager
async def stalling_provider() -> AsyncIterator[StallingProvider]:
    provider = StallingProvider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.handle)
    # A handler learns at once that its client has gone.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        provider.base_url = f"http://{host}:{port}/v1"
        yield provider
    finally:
        await runner.cleanup()
