"""An HTTP server that answers as OpenAI and Anthropic do, from a script.

POST /v1/chat/completions    whole, or as server-sent events with "stream": true
POST /v1/messages            the same
GET  /v1/models              the models that the script names
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from runyard.registry.v1 import registry_pb2 as pb
from services.fake_provider.answers import REFUSALS, Answer, Dialect, answer_of, text_of
from services.fake_provider.anthropic_dialect import AnthropicDialect
from services.fake_provider.conversation import UnreadableError
from services.fake_provider.openai_dialect import OpenAiDialect
from services.router.clients.snapshot import script_of
from services.router.core.script import Fault, FaultKind, Script, outcome_of

_MAX_REQUEST_BYTES = 32 << 20
# An answer that stalls is not waited for.
_SHUTDOWN_S = 0.5
_DIALECTS: Sequence[Dialect] = (OpenAiDialect(), AnthropicDialect())


@dataclass(frozen=True, slots=True)
class Served:
    """One request, for who watches.

    Attributes:
        outcome: ``answer``, or the kind of the fault.
    """

    path: str
    model: str
    messages: int
    outcome: str


@asynccontextmanager
async def serving(
    builtin: pb.BuiltinAdapter, host: str, port: int, told: Callable[[Served], None]
) -> AsyncIterator[int]:
    """Serve for the length of the block; gives the port.

    Args:
        port: 0 takes a free one.
        told: Called with each request.

    Raises:
        OSError: The address cannot be used.
    """
    script = script_of(builtin)
    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    for dialect in _DIALECTS:
        app.router.add_post(dialect.path, _Endpoint(dialect, script, told).handle)
    app.router.add_get("/v1/models", _models(script))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class _Endpoint:
    """Answers the requests of one dialect."""

    def __init__(self, dialect: Dialect, script: Script, told: Callable[[Served], None]) -> None:
        self._dialect = dialect
        self._script = script
        self._told = told

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            messages = self._dialect.messages(body)
        except UnreadableError as error:
            return self._refused(400, str(error))
        except ValueError:
            return self._refused(400, "the body is not JSON")
        model = str(body.get("model") or "")
        outcome = outcome_of(self._script, messages, model)
        name = outcome.kind.value if isinstance(outcome, Fault) else "answer"
        self._told(Served(self._dialect.path, model, len(messages), name))
        if isinstance(outcome, Fault):
            answer = answer_of(text_of(outcome), messages, model)
            return await self._failed(request, outcome, answer)
        answer = answer_of(outcome, messages, model)
        if not body.get("stream"):
            return web.json_response(self._dialect.whole(answer))
        response = await self._send(request, self._dialect.events(answer))
        await response.write_eof()
        return response

    async def _failed(
        self, request: web.Request, fault: Fault, answer: Answer
    ) -> web.StreamResponse:
        if fault.kind in REFUSALS:
            status, text = REFUSALS[fault.kind]
            return self._refused(
                status or self._dialect.overloaded_status, fault.text or text, fault.retry_after_s
            )
        begun = self._dialect.begun(answer)
        if fault.kind is FaultKind.GARBAGE:
            begun.append(self._dialect.garbage)
        response = await self._send(request, begun)
        if fault.kind is FaultKind.STALL:
            await asyncio.Event().wait()
        if request.transport is not None and fault.kind is FaultKind.CUT:
            request.transport.abort()
        return response

    async def _send(self, request: web.Request, events: Sequence[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
            await asyncio.sleep(self._script.delta_interval_s)
        return response

    def _refused(
        self, status: int, text: str, retry_after_s: float | None = None
    ) -> web.StreamResponse:
        headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
        body = json.dumps(self._dialect.error(status, text)).encode()
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )


def _models(script: Script) -> Callable[[web.Request], Awaitable[web.Response]]:
    names = sorted({step.upstream_model for step in script.steps if step.upstream_model})
    listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}

    async def handle(request: web.Request) -> web.Response:
        return web.json_response(listed)

    return handle
