"""What ``bench_router`` asks of each arm, and how it reads the answers.

One call is a conversation of 4 KiB of system prompt and a question, with 6 tools, that is answered
with 200 deltas of text. The router gets it as an ``InferRequest``; the others get the bytes that
the router's adapter sends to the provider for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import grpc

from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.router.api.requests import infer_from_pb
from services.router.clients.openai_request import request_body
from services.router.core.model import Member, Model, OpenAi, Provider
from tests.bench.router_processes import DELTA_BYTES, DELTAS, RELAY_METHOD, WORDS
from tests.support.clients import user_message

_RULE = "Answer from what the tools return, name the order, and never guess a date or an amount. "
SYSTEM_PROMPT = _RULE * (4096 // len(_RULE) + 1)
_SCHEMA = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "description": "as printed on the invoice"},
        "fields": {"type": "array", "items": {"type": "string"}},
        "newest_first": {"type": "boolean"},
    },
    "required": ["order_id"],
}
_TOOLS = ("orders", "invoices", "customers", "shipments", "returns", "payments")
_TEXT_BYTES = DELTAS * DELTA_BYTES
# Beyond all that is measured: a call that hangs ends the benchmark.
_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One call; ``first_s`` is how long its first delta took."""

    first_s: float


class Arm(Protocol):
    """A way to the provider."""

    async def ask(self, model: str) -> Answered:
        """Make one call and read it to its end.

        Raises:
            ValueError: The answer is not the one that the provider gave.
        """


def infer_request(model: str) -> rpc.InferRequest:
    rules = content.Message(
        role=content.MESSAGE_ROLE_SYSTEM,
        parts=[content.Part(text=content.Text(text=SYSTEM_PROMPT))],
    )
    tools = [
        content.ToolDefinition(
            tool_id=name, description=f"looks up {name}", json_schema=json.dumps(_SCHEMA)
        )
        for name in _TOOLS
    ]
    asked = user_message("Where is order 4711, and what did it cost?")
    return rpc.InferRequest(target_id=model, messages=[rules, asked], tools=tools)


def chat_body(model: str) -> bytes:
    """What the router posts for the call."""
    adapter = OpenAi("")
    called = Member(Model(model, "bench", model), Provider("bench", adapter))
    return request_body(adapter, called, infer_from_pb(infer_request(model)).prompt, "")


class RouterArm:
    """Implements ``Arm`` with ``Infer``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = RouterServiceStub(channel)
        self._requests: dict[str, rpc.InferRequest] = {}

    async def ask(self, model: str) -> Answered:
        request = self._requests.setdefault(model, infer_request(model))
        began_s = time.perf_counter()
        first_s, size = 0.0, 0
        async for frame in self._stub.Infer(request, timeout=_LIMIT_S):
            for item in frame.items:
                size += len(item.text_delta.text)
            if not first_s and size:
                first_s = time.perf_counter() - began_s
        return _checked(first_s, size)


class RelayArm:
    """Implements ``Arm`` with the relay."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call = channel.unary_stream(RELAY_METHOD)
        self._bodies: dict[str, bytes] = {}

    async def ask(self, model: str) -> Answered:
        body = self._bodies.setdefault(model, chat_body(model))
        began_s = time.perf_counter()
        first_s, found = 0.0, bytearray()
        async for chunk in self._call(body, timeout=_LIMIT_S):
            first_s = first_s or time.perf_counter() - began_s
            found += chunk
        return _checked(first_s, _text_bytes(found))


class HttpArm:
    """Implements ``Arm`` with chat completions over HTTP: the provider itself, or a peer."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._url = f"{base_url}/v1/chat/completions"
        self._bodies: dict[str, bytes] = {}

    async def ask(self, model: str) -> Answered:
        body = self._bodies.setdefault(model, chat_body(model))
        headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
        began_s = time.perf_counter()
        first_s, found = 0.0, bytearray()
        async with self._session.post(self._url, data=body, headers=headers) as response:
            while chunk := await response.content.readany():
                first_s = first_s or time.perf_counter() - began_s
                found += chunk
        return _checked(first_s, _text_bytes(found))


def _text_bytes(events: bytearray) -> int:
    return events.count(WORDS.strip().encode()) * DELTA_BYTES


def _checked(first_s: float, text_bytes: int) -> Answered:
    if text_bytes != _TEXT_BYTES:
        raise ValueError(f"an answer of {text_bytes} bytes of text in place of {_TEXT_BYTES}")
    return Answered(first_s)


@asynccontextmanager
async def arms(targets: Mapping[str, str]) -> AsyncIterator[Mapping[str, Arm]]:
    """The arms by name; ``router`` and ``relay`` are gRPC targets, the others base URLs."""
    async with (
        grpc.aio.insecure_channel(targets["router"]) as router,
        grpc.aio.insecure_channel(targets["relay"]) as relay,
        aiohttp.ClientSession(
            # Shorter than servers keep idle connections: none is used as its server closes it.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0),
            timeout=aiohttp.ClientTimeout(total=_LIMIT_S),
        ) as session,
    ):
        over_http = {
            name: HttpArm(session, url)
            for name, url in targets.items()
            if name not in ("router", "relay")
        }
        yield {"router": RouterArm(router), "relay": RelayArm(relay), **over_http}
