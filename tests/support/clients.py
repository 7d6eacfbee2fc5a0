"""What a client of the four servers sends and reads: resources, calls, events of a run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1.registry_service_pb2 import APPLY_MODE_UPSERT, ApplyResourcesRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.router.v1 import router_pb2 as router
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard.runcontrol.v1.runcontrol_service_pb2 import SubmitRunRequest, SubscribeRunRequest
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from runyard.types.v1 import content_pb2 as content

CALL_TIMEOUT_S = 30.0


def user_message(text: str) -> content.Message:
    part = content.Part(text=content.Text(text=text))
    return content.Message(role=content.MESSAGE_ROLE_USER, parts=[part])


def builtin_provider(
    provider_id: str, *steps: registry.BuiltinStep, delta_interval_ms: int = 0
) -> registry.Resource:
    adapter = registry.BuiltinAdapter(
        steps=steps, delta_interval=Duration(nanos=delta_interval_ms * 1_000_000)
    )
    return registry.Resource(provider=registry.Provider(id=provider_id, builtin=adapter))


def replying(
    text: str, *, matches: str = "", tool_results: int | None = None
) -> registry.BuiltinStep:
    return registry.BuiltinStep(
        matches=matches, tool_results=tool_results, reply=registry.BuiltinReply(text=text)
    )


def calling(
    tool_id: str, arguments_json: str, *, matches: str = "", tool_results: int | None = None
) -> registry.BuiltinStep:
    call = registry.BuiltinToolCall(tool_id=tool_id, arguments_json=arguments_json)
    reply = registry.BuiltinReply(tool_calls=[call])
    return registry.BuiltinStep(matches=matches, tool_results=tool_results, reply=reply)


def rate_limited(retry_after_s: int = 60) -> registry.BuiltinStep:
    fault = registry.BuiltinFault(
        kind=registry.BUILTIN_FAULT_KIND_RATE_LIMITED, retry_after=Duration(seconds=retry_after_s)
    )
    return registry.BuiltinStep(fault=fault)


def model(model_id: str, provider_id: str, *, tools: bool = False) -> registry.Resource:
    """A model that can call tools, or one that declares nothing."""
    return registry.Resource(
        model=registry.Model(
            id=model_id,
            provider_id=provider_id,
            upstream_model=model_id,
            capabilities=registry.ModelCapabilities(tools=True) if tools else None,
        )
    )


def pool_of(pool_id: str, home: str, *failover_only: str) -> registry.Resource:
    members = [registry.PoolMember(model_id=home, role=registry.POOL_MEMBER_ROLE_MEMBER)]
    members += [
        registry.PoolMember(model_id=other, role=registry.POOL_MEMBER_ROLE_FAILOVER_ONLY)
        for other in failover_only
    ]
    return registry.Resource(model_pool=registry.ModelPool(id=pool_id, members=members))


def agent(agent_id: str, model_id: str, *tools: str) -> registry.Resource:
    return registry.Resource(
        agent=registry.Agent(id=agent_id, model_id=model_id, system_prompt="be brief", tools=tools)
    )


def builtin_tool(
    tool_id: str, builtin: registry.BuiltinTool, *, ask: bool = False
) -> registry.Resource:
    approval = content.APPROVAL_ASK if ask else content.APPROVAL_ALLOW
    return registry.Resource(tool=registry.Tool(id=tool_id, builtin=builtin, approval=approval))


async def apply(channel: grpc.aio.Channel, *resources: registry.Resource) -> int:
    """Apply all; answer the registry version that has them."""
    answer = await RegistryServiceStub(channel).ApplyResources(
        ApplyResourcesRequest(resources=resources, mode=APPLY_MODE_UPSERT), timeout=CALL_TIMEOUT_S
    )
    return answer.version


@dataclass
class Inference:
    text: str = ""
    decision: router.RouteDecision = field(default_factory=router.RouteDecision)


async def infer(
    channel: grpc.aio.Channel, target_id: str, text: str, *, thread_id: str, min_version: int = 0
) -> Inference:
    """One model call, collected."""
    result = Inference()
    call = RouterServiceStub(channel).Infer(
        InferRequest(
            target_id=target_id,
            messages=[user_message(text)],
            session=router.Session(thread_id=thread_id),
            min_registry_version=min_version,
        ),
        timeout=CALL_TIMEOUT_S,
        wait_for_ready=True,
    )
    async for frame in call:
        for item in frame.items:
            if item.HasField("started"):
                result.decision = item.started.decision
            if item.HasField("text_delta"):
                result.text += item.text_delta.text
    return result


async def submit(
    channel: grpc.aio.Channel,
    agent_id: str,
    text: str,
    *,
    pool_id: str = "",
    min_version: int = 0,
    request_id: str = "",
) -> str:
    """Submit a run on a new thread; answer the run's id."""
    request = SubmitRunRequest(
        request_id=request_id,
        agent_id=agent_id,
        messages=[user_message(text)],
        min_registry_version=min_version,
    )
    if pool_id:
        request.pool.pool_id = pool_id
    answer = await RunControlServiceStub(channel).SubmitRun(request, timeout=CALL_TIMEOUT_S)
    return answer.run_id


@contextlib.asynccontextmanager
async def subscribed(
    channel: grpc.aio.Channel, run_id: str, after: bytes = b""
) -> AsyncIterator[AsyncIterator[tuple[bytes, runs.Event]]]:
    """The run's events after a cursor, each with the cursor that resumes behind it."""
    call = RunControlServiceStub(channel).SubscribeRun(
        SubscribeRunRequest(run_id=run_id, after=after), timeout=CALL_TIMEOUT_S, wait_for_ready=True
    )

    async def events() -> AsyncIterator[tuple[bytes, runs.Event]]:
        async for response in call:
            for item in response.items:
                if item.HasField("event"):
                    yield item.cursor, item.event

    try:
        yield events()
    finally:
        call.cancel()
        await call.code()


async def follow_to_end(
    channel: grpc.aio.Channel, run_id: str, after: bytes = b""
) -> list[runs.Event]:
    async with subscribed(channel, run_id, after) as events:
        return [event async for _, event in events]


async def until(
    channel: grpc.aio.Channel, run_id: str, kind: str, after: bytes = b""
) -> tuple[bytes, runs.Event]:
    """The first event of a kind, with its cursor; for a park there is ``until_parked``."""
    async with subscribed(channel, run_id, after) as events:
        async for cursor, event in events:
            if event.WhichOneof("kind") == kind:
                return cursor, event
    raise AssertionError(f"the run ended without {kind}")


async def until_parked(channel: grpc.aio.Channel, run_id: str, what: runs.WaitingKind) -> bytes:
    """The cursor of the park in which the run waits for ``what``.

    A run that is submitted with a pool parks before, until it has joined.
    """
    async with subscribed(channel, run_id) as events:
        async for cursor, event in events:
            if what in {reason.kind for reason in event.run_parked.reasons}:
                return cursor
    raise AssertionError(f"the run ended without a wait for {runs.WaitingKind.Name(what)}")


def kinds(events: Sequence[runs.Event]) -> list[str]:
    return [str(event.WhichOneof("kind")) for event in events]
