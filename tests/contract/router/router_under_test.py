"""A registry and a router in one process, on real ports, with real stubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1.content_pb2 import Message
from services.chassis.calls.rpc_status import ErrorFacts, detail_of, reason_of
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.registry.main import SERVICE as REGISTRY
from services.registry.settings import RegistrySettings
from services.router.main import SERVICE as ROUTER
from services.router.settings import RouterSettings
from tests.support.clients import apply, user_message
from tests.support.fake_provider import FakeProvider
from tests.support.serving import Served, serving
from tests.support.stack import free_port


class StillCalendar(SystemClock):
    """Its calendar, by which circuits and quarantines count, stands still; all else takes time."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(value * 1e6))
    return duration


def builtin(provider_id: str, *steps: reg.BuiltinStep, interval_s: float = 0.0) -> reg.Resource:
    script = reg.BuiltinAdapter(steps=steps, delta_interval=seconds(interval_s))
    return reg.Resource(provider=reg.Provider(id=provider_id, builtin=script))


def failing(
    kind: reg.BuiltinFaultKind, retry_after_s: float = 0.0, upstream_model: str = "", **rest: Any
) -> reg.BuiltinStep:
    hint = seconds(retry_after_s) if retry_after_s else None
    fault = reg.BuiltinFault(kind=kind, retry_after=hint, **rest)
    return reg.BuiltinStep(upstream_model=upstream_model, fault=fault)


def model(model_id: str, provider_id: str, upstream_model: str = "") -> reg.Resource:
    upstream = upstream_model or model_id
    return reg.Resource(
        model=reg.Model(id=model_id, provider_id=provider_id, upstream_model=upstream)
    )


def scripted(*steps: reg.BuiltinStep, interval_s: float = 0.0) -> list[reg.Resource]:
    """Model ``m`` of a builtin provider."""
    return [builtin("script", *steps, interval_s=interval_s), model("m", "script")]


def served_by(provider: FakeProvider, model_id: str = "m") -> list[reg.Resource]:
    """A model of ``provider``."""
    vllm = reg.Provider(id="vllm", openai=reg.OpenAiAdapter(), base_url=provider.base_url)
    return [reg.Resource(provider=vllm), model(model_id, "vllm")]


def answered_as_messages(provider: FakeProvider, model_id: str) -> list[reg.Resource]:
    """A model of ``provider`` in the dialect of Anthropic, which limits it to 2,000 tokens."""
    claude = reg.Provider(id="claude", anthropic=reg.AnthropicAdapter(), base_url=provider.base_url)
    limited = model(model_id, "claude")
    limited.model.max_output_tokens = 2000
    return [reg.Resource(provider=claude), limited]


def pool(pool_id: str, *homes: str, failover_only: Sequence[str] = (), **rest: Any) -> reg.Resource:
    role = reg.POOL_MEMBER_ROLE_FAILOVER_ONLY
    members = [reg.PoolMember(model_id=name) for name in homes]
    members += [reg.PoolMember(model_id=name, role=role) for name in failover_only]
    return reg.Resource(model_pool=reg.ModelPool(id=pool_id, members=members, **rest))


def limited_pool(hint_s: float = 30.0) -> list[reg.Resource]:
    """Pool ``narration``: its only home is always rate limited, its other member answers."""
    return [
        builtin("script", failing(reg.BUILTIN_FAULT_KIND_RATE_LIMITED, hint_s, "limited")),
        model("first", "script", "limited"),
        model("second", "script", "fine"),
        pool("narration", "first", failover_only=["second"]),
    ]


def breaking_pool(*texts: str) -> list[reg.Resource]:
    """Pool ``narration`` that starts over: its members break off after two words of their text, but
    for the last one.
    """
    cut = reg.BUILTIN_FAULT_KIND_CUT
    steps = [
        failing(cut, upstream_model=f"cut-{number}", after_deltas=2, text=text)
        for number, text in enumerate(texts)
    ]
    breaking = [model(f"cut-{number}", "script") for number in range(len(texts))]
    names = [each.model.id for each in breaking]
    order = reg.PoolRouting(home=reg.HOME_STRATEGY_FIRST_HEALTHY)
    restart = reg.MID_STREAM_RESTART
    narration = pool("narration", *names, "whole", routing=order, mid_stream=restart)
    return [builtin("script", *steps), *breaking, model("whole", "script"), narration]


def request(
    target_id: str, text: str = "hello big world", thread_id: str = "", **rest: Any
) -> rpc.InferRequest:
    session = pb.Session(thread_id=thread_id) if thread_id else None
    return rpc.InferRequest(
        target_id=target_id, messages=[user_message(text)], session=session, **rest
    )


@dataclass
class Received:
    """What the caller of a call received.

    Attributes:
        error: None after an OK.
        decision: From the details of the error, else from the last item.
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
    def failure(self) -> ErrorFacts:
        """The error, of a call that must not end with OK."""
        assert self.error is not None
        return self.error

    @property
    def code_and_reason(self) -> tuple[grpc.StatusCode, str]:
        return self.failure.code, self.failure.reason

    @property
    def members(self) -> list[str]:
        return [attempt.member_id for attempt in self.decision.attempts]


async def call_infer(
    channel: grpc.aio.Channel, asked: rpc.InferRequest, timeout: float | None = None
) -> Received:
    """Call ``Infer`` and read it to its end."""
    frames: list[rpc.InferResponse] = []
    error: ErrorFacts | None = None
    failed: pb.RouteDecision | None = None
    async with streaming(RouterServiceStub(channel).Infer(asked, timeout=timeout)) as answer:
        try:
            async for frame in answer:
                frames.append(frame)  # noqa: PERF401  # what came before an error counts
        except grpc.aio.AioRpcError as raised:
            error, failed = reason_of(raised), detail_of(raised, pb.RouteDecision)
    last = frames[-1].items[-1] if frames else pb.InferItem()
    return Received(frames, error, last.finished.decision if failed is None else failed)


@dataclass
class RouterUnderTest:
    """A router and its registry; each can be stopped and started again on its database.

    Attributes:
        clock: Of the router; None for that of the machine.
        router_port: 0 for a free one at each start.
        version: Of the registry after the last ``apply``; calls ask for it or a later one.
    """

    data: Path
    urls: Mapping[str, str] = field(default_factory=dict)
    registry_port: int = field(default_factory=free_port)
    clock: Clock | None = None
    router_port: int = 0
    version: int = 0
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
            serving(REGISTRY.build, settings)
        )

    async def start_router(self) -> None:
        settings = RouterSettings(
            listen=f"127.0.0.1:{self.router_port}",
            database_url=self.url("router"),
            registry_target=f"127.0.0.1:{self.registry_port}",
            drain_grace_s=0.5,
        )
        self.router = await self._router_exit.enter_async_context(
            serving(ROUTER.build, settings, clock=self.clock)
        )

    def url(self, service: str) -> str:
        return self.urls.get(service) or f"sqlite:///{self.data / service}.db"

    async def stop_registry(self) -> None:
        await self._registry_exit.aclose()
        self.registry = None

    async def stop_router(self) -> None:
        await self._router_exit.aclose()
        self.router = None

    async def restart_router(self) -> None:
        await self.stop_router()
        await self.start_router()

    async def apply(self, *resources: reg.Resource) -> None:
        """Apply the resources to the registry; the calls after it ask for their version."""
        assert self.registry is not None
        self.version = await apply(self.registry.channel, *resources)

    @property
    def channel(self) -> grpc.aio.Channel:
        assert self.router is not None
        return self.router.channel

    async def infer(
        self, target_id: str, *text: str, timeout: float | None = None, **rest: Any
    ) -> Received:
        """Call ``Infer`` and read it to its end; ``rest`` are fields of the request."""
        asked = request(target_id, *text, **{"min_registry_version": self.version, **rest})
        return await call_infer(self.channel, asked, timeout)

    async def infer_messages(
        self, target_id: str, messages: Sequence[Message], **rest: Any
    ) -> Received:
        """As ``infer``, with ``messages`` in place of a text."""
        asked = rpc.InferRequest(
            target_id=target_id,
            messages=messages,
            min_registry_version=self.version,
            **rest,
        )
        return await call_infer(self.channel, asked)

    async def member(self, target_id: str) -> pb.MemberState:
        """The state of the only member of a target that has failed."""
        (only,) = await self.state(target_id)
        return only

    async def state(self, target_id: str) -> list[pb.MemberState]:
        """The states of the members of a target of which there is something to tell."""
        asked = rpc.GetRoutingStateRequest(target_id=target_id)
        answer = await RouterServiceStub(self.channel).GetRoutingState(asked)
        return list(answer.members)

    async def reset_member(self, target_id: str, member_id: str = "") -> None:
        asked = rpc.ResetMemberRequest(target_id=target_id, member_id=member_id)
        await RouterServiceStub(self.channel).ResetMember(asked)

    def call(self, target_id: str) -> Any:
        """A call that the test reads, and cancels, itself."""
        asked = request(target_id, min_registry_version=self.version)
        return RouterServiceStub(self.channel).Infer(asked)
