"""A service with one method of each arity, whose handlers a test supplies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2_grpc
from pydantic_settings import SettingsConfigDict

from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.clock import Clock
from services.chassis.config.settings import ServiceSettings
from services.chassis.protobuf.sizes import NO_SIZES, Sizes
from services.chassis.server.server import running
from services.chassis.server.service import Chassis, ServerFacts, Service, Servicer
from services.chassis.startup import StartupRefusedError
from services.chassis.store.port import StoreInfo
from tests.support.serving import Served, serving
from tests.support.waiting import within_limit

NAME = "test.probe.v1.ProbeService"
DOMAIN = "probe.runyard.dev"
UNARY = f"/{NAME}/Unary"
WATCH = f"/{NAME}/Watch"
COLLECT = f"/{NAME}/Collect"
CHAT = f"/{NAME}/Chat"
METHODS = (UNARY, WATCH, COLLECT, CHAT)

UNLIMITED = MethodPolicy(ANY_ROLE, deadline_cap_s=None)


class ProbeSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RUNYARD_PROBE_", frozen=True)

    listen: str = "127.0.0.1:0"
    database_url: str = "sqlite:///unused"


def encoded(message: str) -> bytes:
    return StringValue(value=message).SerializeToString()


def decoded(message: bytes) -> str:
    return StringValue.FromString(message).value


async def echo(request: str, context: Any) -> str:
    return request


async def twice(request: str, context: Any) -> AsyncIterator[str]:
    yield request
    yield request


async def joined(requests: AsyncIterator[str], context: Any) -> str:
    return "".join([request async for request in requests])


def raising(error: Exception) -> Any:
    """A handler of any arity that refuses with ``error``."""

    async def handler(request: object, context: object) -> Any:
        raise error

    return handler


async def echo_all(requests: AsyncIterator[str], context: Any) -> AsyncIterator[str]:
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
    sizes: Sizes = NO_SIZES
    ready: Callable[[], bool] | None = None
    hand_back: Callable[[], Awaitable[None]] | None = None
    prepare: Callable[[Chassis], Awaitable[None]] | None = None

    def add(self, server: grpc.aio.Server) -> None:
        """What generated code does."""
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary, decoded, encoded),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, decoded, encoded),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect, decoded, encoded),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat, decoded, encoded),
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
            sizes=self.sizes,
        )


class ProbeStub:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.unary: Any = channel.unary_unary(UNARY, encoded, decoded)
        self.watch: Any = channel.unary_stream(WATCH, encoded, decoded)
        self.collect: Any = channel.stream_unary(COLLECT, encoded, decoded)
        self.chat: Any = channel.stream_stream(CHAT, encoded, decoded)
        self.health: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class ServedProbe(Served):
    stub: ProbeStub
    chassis: Chassis


@asynccontextmanager
async def probing(
    probe: Probe | None = None,
    *,
    authenticator: Any = None,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[ServedProbe]:
    """Serve a probe; ``settings`` are those of ``ProbeSettings``."""
    values = ProbeSettings(**{"drain_grace_s": 2.0, **settings})
    given: list[Chassis] = []

    async def build(settings: ProbeSettings, chassis: Chassis) -> Service:
        given.append(chassis)
        return await (probe or Probe()).build(settings, chassis)

    async with serving(build, values, authenticator=authenticator, clock=clock) as served:
        stub = ProbeStub(served.channel)
        yield ServedProbe(served.running, served.channel, stub, *given)


async def refusal(build: Any = None, **settings: Any) -> str:
    """Why a server with these settings does not start."""
    with pytest.raises(StartupRefusedError) as caught:
        async with running(ProbeSettings(**settings), build or Probe().build):
            pass
    return str(caught.value)


class Signal(asyncio.Event):
    """An event that a test waits for, and fails when it never comes."""

    async def wait(self) -> Literal[True]:
        async with within_limit():
            return await super().wait()


class Waiting:
    """Handlers that say when they begin and end, and wait until a test lets them go on."""

    def __init__(self) -> None:
        self.started, self.go_on, self.ended = Signal(), asyncio.Event(), Signal()

    async def unary(self, request: str, context: Any) -> str:
        self.started.set()
        try:
            await self.go_on.wait()
        finally:
            self.ended.set()
        return request

    async def watch(self, request: str, context: Any) -> AsyncIterator[str]:
        """Send the request back before it waits."""
        try:
            yield request
            await self.go_on.wait()
        finally:
            self.ended.set()


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    try:
        if isinstance(call, AsyncIterable):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def requests(*values: str) -> AsyncIterator[str]:
    for value in values:
        yield value
