"""A server of either dialect over HTTP that behaves as a test tells it to, down to the bytes.

    async with fake_provider() as provider:
        provider.answers(stream(*text("hello"), finish()))
        ... call provider.base_url ...
        assert provider.requests[0].body["model"] == "gpt"

What is queued with ``answers`` is used up one per request; ``always`` stays.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from tests.support.strict_provider import faults

CHUNK_ID = "chatcmpl-1"


@dataclass(frozen=True, slots=True)
class Pause:
    """Sends nothing until the test releases it with ``FakeProvider.go_on``."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Breaks the connection without the end of the chunked body."""


# What a stream does, in order: send bytes, wait, break.
Move: TypeAlias = bytes | Pause | Cut


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: a status with headers, and what its body does."""

    moves: tuple[Move, ...]
    status: int = 200
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"Content-Type": "text/event-stream"}
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent; header names are lower case, ``peer`` is its connection.

    Attributes:
        query: Names and values of the URL, decoded.
    """

    path: str
    query: Sequence[tuple[str, str]]
    peer: tuple[str, int]
    headers: Mapping[str, str]
    body: Any


def event(data: object) -> bytes:
    """One event as the vendor writes it."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: Mapping[str, object] | None = None, **rest: object) -> bytes:
    """A completion chunk with one choice; ``rest`` are fields beside ``choices``."""
    finish_reason = rest.pop("finish_reason", None)
    choice = {"index": 0, "delta": dict(delta or {}), "finish_reason": finish_reason}
    whole = {"id": CHUNK_ID, "object": "chat.completion.chunk", "choices": [choice], **rest}
    return event(whole)


def text(*pieces: str) -> list[bytes]:
    """The role chunk, then one chunk per piece."""
    role = chunk({"role": "assistant", "content": ""})
    return [role, *(chunk({"content": piece}) for piece in pieces)]


def finish(reason: str = "stop", usage: Mapping[str, object] | None = None) -> list[bytes]:
    """The finish chunk, the chunk with the tokens if there are any, and the terminator."""
    counted = [event({"id": CHUNK_ID, "choices": [], "usage": dict(usage)})] if usage else []
    return [chunk({}, finish_reason=reason), *counted, b"data: [DONE]\n\n"]


def stream(*moves: Move, **headers: str) -> Script:
    """A stream that begins well; ``headers`` with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script(moves, headers={"Content-Type": "text/event-stream", **named})


def refusal(status: int, body: object = None, **headers: str) -> Script:
    """An error answer, by default in the vendor's shape."""
    content = body if body is not None else {"error": {"message": f"status {status}"}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Script((raw,), status, {"Content-Type": "application/json", **named})


class FakeProvider:
    """A server on a free port.

    Attributes:
        base_url: What to register as the provider's ``base_url``.
        requests: Everything that was asked, in order.
        pauses: Times an answer has begun to pause.
        disconnects: Requests whose client went away before the end.
        strict: Answer 400 to a chat completion that the strictest provider refuses.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[Request] = []
        self.pauses = 0
        self.disconnects = 0
        self.strict = False
        self._queued: deque[Script] = deque()
        self._always: Script | None = None
        self._released = asyncio.Event()
        self._happened = asyncio.Event()

    def answers(self, *scripts: Script) -> None:
        """Use each once, in order."""
        self._queued.extend(scripts)

    def always(self, script: Script) -> None:
        """Use it whenever nothing is queued."""
        self._always = script

    def go_on(self) -> None:
        """Release everything that pauses, once."""
        self._released.set()
        self._released = asyncio.Event()

    async def until(self, *, requests: int = 0, pauses: int = 0, disconnects: int = 0) -> None:
        """Wait until that many were seen."""
        wanted = (requests, pauses, disconnects)
        while any(
            seen < least
            for seen, least in zip(
                (len(self.requests), self.pauses, self.disconnects), wanted, strict=True
            )
        ):
            await self._happened.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = json.loads(await request.read())
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[:2]
        query = list(request.query.items())
        self.requests.append(Request(request.path, query, peer, headers, body))
        self._tell()
        if self.strict and (found := faults(body)):
            raise web.HTTPBadRequest(text=json.dumps({"error": {"message": "; ".join(found)}}))
        script = self._queued.popleft() if self._queued else self._always
        if script is None:
            raise web.HTTPNotImplemented(text="the test has queued no answer")
        response = web.StreamResponse(status=script.status, headers=dict(script.headers))
        try:
            await response.prepare(request)
            await self._play(script.moves, request, response)
        except (ConnectionResetError, asyncio.CancelledError):
            self.disconnects += 1
            self._tell()
            raise
        return response

    async def _play(
        self, moves: Sequence[Move], request: web.Request, response: web.StreamResponse
    ) -> None:
        for move in moves:
            match move:
                case bytes():
                    await response.write(move)
                case Pause():
                    self.pauses += 1
                    self._tell()
                    await self._released.wait()
                case Cut():
                    assert request.transport is not None
                    request.transport.abort()
                    return
        await response.write_eof()

    def _tell(self) -> None:
        self._happened.set()
        self._happened = asyncio.Event()


@asynccontextmanager
async def fake_provider() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", provider.handle)
    app.router.add_post("/openai/deployments/{name}/chat/completions", provider.handle)
    app.router.add_post("/v1/messages", provider.handle)
    # A handler learns at once that its client has gone: that is what is tested.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        provider.base_url = f"http://{host}:{port}/v1"
        yield provider
    finally:
        await runner.cleanup()
