"""A registry and a router in one process, on real ports, with real stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as reg
from runyard.registry.v1 import registry_service_pb2 as reg_rpc
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.rpc_status import ErrorFacts, reason_of
from services.chassis.streaming import streaming
from services.registry.main import build as build_registry
from services.registry.settings import RegistrySettings
from services.router.api.encode import DECISION_TRAILER
from services.router.main import build as build_router
from services.router.settings import RouterSettings
from tests.support.serving import Served, serving
from tests.support.stack import free_port

RATE_LIMITED = reg.BUILTIN_FAULT_KIND_RATE_LIMITED


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(value * 1e6))
    return duration


def builtin(provider_id: str, *steps: reg.BuiltinStep, interval_s: float = 0.0) -> reg.Resource:
    script = reg.BuiltinAdapter(steps=steps, delta_interval=seconds(interval_s))
    return reg.Resource(provider=reg.Provider(id=provider_id, builtin=script))


def openai(provider_id: str, base_url: str) -> reg.Resource:
    api = reg.OpenAiAdapter()
    return reg.Resource(provider=reg.Provider(id=provider_id, openai=api, base_url=base_url))


def model(model_id: str, provider_id: str, upstream_model: str = "") -> reg.Resource:
    upstream = upstream_model or model_id
    return reg.Resource(
        model=reg.Model(id=model_id, provider_id=provider_id, upstream_model=upstream)
    )


def pool(pool_id: str, *members: reg.PoolMember, **rest: Any) -> reg.Resource:
    return reg.Resource(model_pool=reg.ModelPool(id=pool_id, members=members, **rest))


def home(model_id: str) -> reg.PoolMember:
    return reg.PoolMember(model_id=model_id)


def stand_in(model_id: str) -> reg.PoolMember:
    return reg.PoolMember(model_id=model_id, role=reg.POOL_MEMBER_ROLE_FAILOVER_ONLY)


def fault(
    kind: reg.BuiltinFaultKind, retry_after_s: float | None = None, **rest: Any
) -> reg.BuiltinFault:
    hint = None if retry_after_s is None else seconds(retry_after_s)
    return reg.BuiltinFault(kind=kind, retry_after=hint, **rest)


def request(target_id: str, text: str = "hello big world", **rest: Any) -> rpc.InferRequest:
    said = content.Part(text=content.Text(text=text))
    message = content.Message(role=content.MESSAGE_ROLE_USER, parts=[said])
    return rpc.InferRequest(target_id=target_id, messages=[message], **rest)


def thread(thread_id: str) -> pb.Session:
    return pb.Session(thread_id=thread_id)


@dataclass
class Heard:
    """What a caller got.

    Attributes:
        error: None after an OK.
        decision: From the trailers.
    """

    frames: list[rpc.InferResponse]
    error: ErrorFacts | None
    decision: pb.RouteDecision

    @property
    def items(self) -> list[pb.InferItem]:
        return [item for frame in self.frames for item in frame.items]

    @property
    def kinds(self) -> list[str]:
        return [item.WhichOneof("item") or "" for item in self.items]

    @property
    def text(self) -> str:
        return "".join(item.text_delta.text for item in self.items)

    @property
    def reason(self) -> str:
        return self.error.reason if self.error else "OK"

    @property
    def members(self) -> list[str]:
        return [attempt.member_id for attempt in self.decision.attempts]


async def hear(channel: grpc.aio.Channel, asked: rpc.InferRequest, **call: Any) -> Heard:
    """One call to its end."""
    frames: list[rpc.InferResponse] = []
    error: ErrorFacts | None = None
    async with streaming(RouterServiceStub(channel).Infer(asked, **call)) as answer:
        try:
            async for frame in answer:
                frames.append(frame)  # noqa: PERF401  # what came before an error counts
        except grpc.aio.AioRpcError as raised:
            error = reason_of(raised)
        trailers = await answer.trailing_metadata()
    decision = next((value for key, value in trailers if key == DECISION_TRAILER), b"")
    assert isinstance(decision, bytes)
    return Heard(frames, error, pb.RouteDecision.FromString(decision))


@dataclass
class World:
    """Both servers; each can be stopped and started again on what it has stored."""

    data: Path
    urls: Mapping[str, str] = field(default_factory=dict)
    registry_port: int = field(default_factory=free_port)
    registry: Served | None = None
    router: Served | None = None
    _registry_exit: AsyncExitStack = field(default_factory=AsyncExitStack)
    _router_exit: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start_registry(self) -> None:
        settings = RegistrySettings(
            listen=f"127.0.0.1:{self.registry_port}",
            database_url=self.url("registry"),
            drain_grace_s=0.5,
        )
        self.registry = await self._registry_exit.enter_async_context(
            serving(build_registry, settings)
        )

    async def start_router(self) -> None:
        settings = RouterSettings(
            listen="127.0.0.1:0",
            database_url=self.url("router"),
            registry_target=f"127.0.0.1:{self.registry_port}",
            drain_grace_s=0.5,
        )
        self.router = await self._router_exit.enter_async_context(serving(build_router, settings))

    def url(self, service: str) -> str:
        return self.urls.get(service) or f"sqlite:///{self.data / service}.db"

    async def stop_registry(self) -> None:
        await self._registry_exit.aclose()
        self.registry = None

    async def stop_router(self) -> None:
        await self._router_exit.aclose()
        self.router = None

    async def apply(self, *resources: reg.Resource) -> int:
        """Publish; answers the version."""
        assert self.registry is not None
        stub = RegistryServiceStub(self.registry.channel)
        asked = reg_rpc.ApplyResourcesRequest(resources=resources)
        return (await stub.ApplyResources(asked)).version

    async def infer(self, asked: rpc.InferRequest, **call: Any) -> Heard:
        assert self.router is not None
        return await hear(self.router.channel, asked, **call)

    def call(self, asked: rpc.InferRequest) -> Any:
        """A call that the test reads, and cancels, itself."""
        assert self.router is not None
        return RouterServiceStub(self.router.channel).Infer(asked)


@asynccontextmanager
async def world(data: Path, urls: Mapping[str, str] | None = None) -> AsyncIterator[World]:
    """Both servers, running."""
    running = World(data, urls or {})
    try:
        await running.start_registry()
        await running.start_router()
        yield running
    finally:
        await running.stop_router()
        await running.stop_registry()


def limited_pool(hint_s: float = 30.0, **rest: Any) -> Sequence[reg.Resource]:
    """Pool ``narration``: its only home is always rate limited, its stand-in answers."""
    step = reg.BuiltinStep(upstream_model="limited", fault=fault(RATE_LIMITED, hint_s))
    return (
        builtin("script", step),
        model("first", "script", "limited"),
        model("second", "script", "fine"),
        pool("narration", home("first"), stand_in("second"), **rest),
    )
