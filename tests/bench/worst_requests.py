"""The requests that cost a server most among those that it takes, and one that it refuses.

Each is made anew for each call, so that no answer is one that was kept, and as bytes, so that
sending it costs the sender little.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pools
from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1 import registry_service_pb2 as registries
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.runcontrol.v1 import runcontrol_service_pb2 as runs
from runyard.types.v1 import content_pb2 as content
from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest
from tests.support.registry_resources import agent, model, provider, tool

_REGISTRY = "/runyard.registry.v1.RegistryService/"
_ROUTER = "/runyard.router.v1.RouterService/"
_RUNCONTROL = "/runyard.runcontrol.v1.RunControlService/"
_POOL = "/runyard.pool.v1.PoolService/"

# What the registry holds before: whatever the requests refer to.
RESOURCES = [
    registry.Resource(
        provider=registry.Provider(
            id="local",
            builtin=registry.BuiltinAdapter(
                steps=[registry.BuiltinStep(reply=registry.BuiltinReply(text="done"))]
            ),
        )
    ),
    model(),
    agent(),
    *(tool(f"t{number}") for number in range(256)),
]

# What another caller reads meanwhile, and by which method.
READS: Mapping[str, tuple[str, Message]] = {
    "registry": (
        f"{_REGISTRY}GetResource",
        registries.GetResourceRequest(kind=registry.RESOURCE_KIND_TOOL, id="t1"),
    ),
    "router": ("/runyard.types.v1.ServerInfoService/GetServerInfo", GetServerInfoRequest()),
    "runcontrol": (f"{_RUNCONTROL}GetRun", runs.GetRunRequest(run_id="none")),
    "pool": (f"{_POOL}GetPool", pools.GetPoolRequest(pool_id="room")),
}


@dataclass(frozen=True, slots=True)
class Worst:
    """A worst request.

    Attributes:
        streamed: Its answer is a stream.
        made: Makes it, each time another one.
    """

    service: str
    name: str
    method: str
    made: Callable[[], bytes]
    streamed: bool = False


_NUMBERS: Iterator[int] = itertools.count()


def _validate() -> bytes:
    """294,400 references, none of which exists."""
    resources = [
        agent(f"a{number}", tools=[f"unknown-{number}-{n}" for n in range(256)])
        for number in range(1_150)
    ]
    return registries.ValidateResourcesRequest(resources=resources).SerializeToString()


def _apply_references() -> bytes:
    """As many references, all of which can be met."""
    number = next(_NUMBERS)
    tools = [f"t{n}" for n in range(256)]
    resources = [agent(f"a{n}", tools=tools, system_prompt=f"{number}") for n in range(1_150)]
    return _applied(resources)


def _apply_bytes() -> bytes:
    """20,000 resources and nearly 16 MiB."""
    number = next(_NUMBERS)
    tools = [
        tool(f"b{n:05}", description=f"{number} " + "finds " * 127, worker={}) for n in range(9_998)
    ]
    agents = [
        agent(f"b{n:05}", tools=[f"b{n:05}"], system_prompt=f"{number} " + "be brief " * 87)
        for n in range(9_998)
    ]
    return _applied([*tools, *agents])


def _applied(resources: Sequence[registry.Resource]) -> bytes:
    request = registries.ApplyResourcesRequest(
        resources=resources, request_id=f"apply-{next(_NUMBERS)}"
    )
    return request.SerializeToString()


def _refused() -> bytes:
    """8,388,608 empty resources."""
    return b"\x0a\x00" * (8 << 20)


def _provider() -> bytes:
    """256 steps of 64 tool calls."""
    number = next(_NUMBERS)
    call = registry.BuiltinToolCall(tool_id="t1", arguments_json='{"a": 1, "b": [1, 2, 3]}')
    step = registry.BuiltinStep(reply=registry.BuiltinReply(tool_calls=[call] * 64))
    large = provider(f"large-{number}", builtin={"steps": [step] * 256}).provider
    request = registries.RegisterProviderRequest(provider=large, request_id=f"provider-{number}")
    return request.SerializeToString()


def _said(messages: int, parts: int, text_bytes: int) -> list[content.Message]:
    part = content.Part(text=content.Text(text="x" * text_bytes))
    said = content.Message(role=content.MESSAGE_ROLE_USER, parts=[part] * parts)
    return [said] * messages


def _infer() -> bytes:
    """10,000 messages of 5 parts, nearly 16 MiB."""
    return InferRequest(target_id="small", messages=_said(10_000, 5, 320)).SerializeToString()


def _infer_tools() -> bytes:
    """1,000 tools with schemas of 16 KB each."""
    properties = ", ".join(f'"p{n}": {{"type": "string"}}' for n in range(600))
    schema = f'{{"type": "object", "properties": {{{properties}}}}}'
    tools = [content.ToolDefinition(tool_id=f"t{n}", json_schema=schema) for n in range(1_000)]
    request = InferRequest(target_id="small", messages=_said(1, 1, 1), tools=tools)
    return request.SerializeToString()


def _submit() -> bytes:
    """256 messages of 234 parts, nearly 16 MiB."""
    request = runs.SubmitRunRequest(
        agent_id="scout", messages=_said(256, 233, 260), request_id=f"submit-{next(_NUMBERS)}"
    )
    return request.SerializeToString()


def _policies() -> list[pool.PolicyRef]:
    return [
        pool.PolicyRef(kind="k" * 512, policy_id=f"{n:0512}", version="v" * 512) for n in range(64)
    ]


def _send() -> bytes:
    """A body of 64 KiB, 64 policies and 16 correlations."""
    number = next(_NUMBERS)
    message = pool.Message(
        from_run_id="r1",
        to=pool.Address(run_id="r2"),
        inline_body=pool.InlineBody(data=b"d" * 65_536, media_type="text/plain"),
        idempotency_key=f"send-{number}",
        policy_refs=_policies(),
        correlation=[pool.Correlation(key=f"{n:0512}", value="v" * 512) for n in range(16)],
    )
    request = pools.SendMessageRequest(pool_id="room", message=message, request_id=f"send-{number}")
    return request.SerializeToString()


def _join() -> bytes:
    """64 topics and 64 policies."""
    number = next(_NUMBERS)
    request = pools.JoinPoolRequest(
        pool_id="room",
        run_id=f"joined-{number}",
        agent_id="a1",
        topics=[f"{n:0512}" for n in range(64)],
        policy_refs=_policies(),
        request_id=f"join-{number}",
    )
    return request.SerializeToString()


def _suspend() -> bytes:
    """16 filters of 64 values for each of their fields, nearly 1 MiB."""
    number = next(_NUMBERS)
    values = [f"{n:0110}" for n in range(64)]
    fields = (
        "recipient_run_ids",
        "message_ids",
        "reply_to",
        "topics",
        "sender_run_ids",
        "sender_agent_ids",
        "correlation_keys",
    )
    each = pool.EventFilter(**dict.fromkeys(fields, values))
    condition = pool.WakeCondition(
        condition_id=f"c{number}",
        run_id="r1",
        filters=[each] * 16,
        idempotency_key=f"suspend-{number}",
        policy_refs=_policies(),
    )
    request = pools.SuspendUntilRequest(
        pool_id="room", condition=condition, request_id=f"suspend-{number}"
    )
    return request.SerializeToString()


WORST: Sequence[Worst] = (
    Worst("registry", "validate", f"{_REGISTRY}ValidateResources", _validate),
    Worst("registry", "apply references", f"{_REGISTRY}ApplyResources", _apply_references),
    Worst("registry", "apply bytes", f"{_REGISTRY}ApplyResources", _apply_bytes),
    Worst("registry", "provider", f"{_REGISTRY}RegisterProvider", _provider),
    Worst("registry", "refused", f"{_REGISTRY}ValidateResources", _refused),
    Worst("router", "infer", f"{_ROUTER}Infer", _infer, streamed=True),
    Worst("router", "infer tools", f"{_ROUTER}Infer", _infer_tools, streamed=True),
    Worst("runcontrol", "submit", f"{_RUNCONTROL}SubmitRun", _submit),
    Worst("pool", "send", f"{_POOL}SendMessage", _send),
    Worst("pool", "join", f"{_POOL}JoinPool", _join),
    Worst("pool", "suspend", f"{_POOL}SuspendUntil", _suspend),
)
