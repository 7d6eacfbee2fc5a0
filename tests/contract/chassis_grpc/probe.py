"""A service with one method of each arity, whose handlers a test supplies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from pydantic_settings import SettingsConfigDict

from services.chassis.policy import ANY_ROLE, MethodPolicy
from services.chassis.server import Chassis, ServerFacts, Service, Servicer
from services.chassis.settings import ServiceSettings
from services.chassis.store.port import StoreInfo
from tests.support.serving import Served, serving

NAME = "test.probe.v1.ProbeService"
DOMAIN = "probe.runyard.dev"
UNARY = f"/{NAME}/Unary"
WATCH = f"/{NAME}/Watch"
COLLECT = f"/{NAME}/Collect"
CHAT = f"/{NAME}/Chat"
METHODS = (UNARY, WATCH, COLLECT, CHAT)

# What a broken test may take before it fails; nothing waits for it to pass.
PATIENCE_S = 10.0

Context = Any

UNLIMITED = MethodPolicy(ANY_ROLE, deadline_cap_s=None)


class ProbeSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RUNYARD_PROBE_", frozen=True)

    listen: str = "127.0.0.1:0"
    database_url: str = "sqlite:///unused"


def text(value: str) -> StringValue:
    return StringValue(value=value)


async def echo(request: StringValue, context: Context) -> StringValue:
    return request


async def twice(request: StringValue, context: Context) -> AsyncIterator[StringValue]:
    yield request
    yield request


async def joined(requests: AsyncIterator[StringValue], context: Context) -> StringValue:
    return text("".join([request.value async for request in requests]))


async def echo_all(
    requests: AsyncIterator[StringValue], context: Context
) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield request


@dataclass(frozen=True)
class Probe:
    """The service; handlers that are not given echo."""

    unary: Callable[..., Any] = echo
    watch: Callable[..., Any] = twice
    collect: Callable[..., Any] = joined
    chat: Callable[..., Any] = echo_all
    row: MethodPolicy = UNLIMITED
    policy: Mapping[str, MethodPolicy] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    hand_back: Callable[[], Awaitable[None]] | None = None
    prepare: Callable[[Chassis], Awaitable[None]] | None = None

    def add(self, server: grpc.aio.Server) -> None:
        """What generated code does."""
        coders = StringValue.FromString, StringValue.SerializeToString
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary, *coders),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, *coders),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect, *coders),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat, *coders),
        }
        generic: Any = grpc.method_handlers_generic_handler(NAME, handlers)
        server.add_generic_rpc_handlers((generic,))
        server.add_registered_method_handlers(NAME, handlers)  # type: ignore[attr-defined]  # not in the stubs

    async def build(self, settings: ProbeSettings, chassis: Chassis) -> Service:
        if self.prepare is not None:
            await self.prepare(chassis)
        return Service(
            name="probe",
            error_domain=DOMAIN,
            servicers=[Servicer(NAME, self.add)],
            policy={**dict.fromkeys(METHODS, self.row), **self.policy},
            server_info=ServerFacts.of("probe", StoreInfo("none", "0", "none"), [NAME]),
            ready=self.ready,
            hand_back=self.hand_back,
        )


class ProbeStub:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        coders: Any = StringValue.SerializeToString, StringValue.FromString
        self.unary: Any = channel.unary_unary(UNARY, *coders)
        self.watch: Any = channel.unary_stream(WATCH, *coders)
        self.collect: Any = channel.stream_unary(COLLECT, *coders)
        self.chat: Any = channel.stream_stream(CHAT, *coders)


@dataclass(frozen=True)
class ServedProbe:
    served: Served
    stub: ProbeStub

    @property
    def channel(self) -> grpc.aio.Channel:
        return self.served.channel


@asynccontextmanager
async def probing(
    probe: Probe | None = None, *, authenticator: Any = None, **settings: Any
) -> AsyncIterator[ServedProbe]:
    """Serve a probe; ``settings`` are those of ``ProbeSettings``."""
    values = ProbeSettings(**{"drain_grace_s": 2.0, **settings})
    build = (probe or Probe()).build
    async with serving(build, values, authenticator=authenticator) as served:
        yield ServedProbe(served, ProbeStub(served.channel))


@dataclass
class Signal:
    """An event that a test waits for, and fails when it never comes."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self) -> None:
        self.event.set()

    @property
    def happened(self) -> bool:
        return self.event.is_set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.event.wait()


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that a unary call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def stream_failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that a stream ends with."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended well")


async def requests(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield text(value)


def with_row(probe: Probe, **changes: Any) -> Probe:
    return replace(probe, row=replace(probe.row, **changes))
