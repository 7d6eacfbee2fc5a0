"""A limit has one home, the core: what a server reports is what its refusals name."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1.registry_service_pb2 import ValidateResourcesRequest
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.runcontrol.v1.runcontrol_pb2 import PoolMembership
from runyard.runcontrol.v1.runcontrol_service_pb2 import SubmitRunRequest
from runyard.types.v1 import content_pb2 as content
from scripts.limits_docs import sizes_of
from services.chassis.errors import InvalidRequestError
from services.pool.api.requests import condition_from_pb, draft_from_pb, fetch_from_pb, join_from_pb
from services.pool.core.events import WakeCondition
from services.pool.core.limits import condition_violations
from services.registry.api.requests import validate_from_pb
from services.registry.core.model import BuiltinAdapter, Provider
from services.registry.core.rules.validating import Submitted, submitted_violations
from services.router.api.requests import infer_from_pb
from services.runcontrol.api.requests import submit_from_pb
from tests.arch.project import ROOT, parsed
from tests.support.clients import user_message

R = TypeVar("R", bound=Message)
Refusal = Callable[[int], list[str]]


def _violations(decode: Callable[[R], object], request: R) -> list[str]:
    """Descriptions of what the server and ``decode`` refuse of ``request``."""
    check = sizes_of(decode.__module__.split(".")[1]).check_of(type(request))
    assert check is not None
    try:
        check(request)
        decode(request)
    except InvalidRequestError as error:
        return [violation.description for violation in error.violations]
    return []


def _resources(count: int) -> list[str]:
    request = ValidateResourcesRequest(resources=[registry.Resource()] * count)
    return _violations(validate_from_pb, request)


def _resource(size_bytes: int) -> list[str]:
    provider = Provider("p", BuiltinAdapter())
    found = submitted_violations(Submitted("provider", provider, size_bytes=size_bytes))
    return [violation.description for violation in found]


def _messages(count: int) -> list[content.Message]:
    return [user_message("hi")] * count


def _model_call(messages: int, tools: int) -> list[str]:
    call = InferRequest(
        target_id="m",
        messages=_messages(messages),
        tools=[content.ToolDefinition(tool_id=each) for each in _ids(tools)],
    )
    return _violations(infer_from_pb, call)


def _submit(messages: int, topics: int) -> list[str]:
    pool = PoolMembership(pool_id="p", topics=_ids(topics))
    return _violations(submit_from_pb, SubmitRunRequest(messages=_messages(messages), pool=pool))


def _message(**fields: Any) -> list[str]:
    to = pool.Address(run_id="run-b")
    message = pool.Message(from_run_id="run-a", to=to, idempotency_key="k", **fields)
    return _violations(draft_from_pb, rpc.SendMessageRequest(pool_id="p", message=message))


def _body(size_bytes: int) -> list[str]:
    return _message(inline_body=pool.InlineBody(data=b"x" * size_bytes, media_type="text/plain"))


def _correlation(count: int) -> list[str]:
    entries = [pool.Correlation(key=each, value="v") for each in _ids(count)]
    return _message(content_ref="c", correlation=entries)


def _join(**fields: Any) -> list[str]:
    join = rpc.JoinPoolRequest(pool_id="p", run_id="run-a", agent_id="a", **fields)
    return _violations(join_from_pb, join)


def _fetch(count: int) -> list[str]:
    fetch = rpc.FetchInboxRequest(pool_id="p", run_id="run-a", message_ids=_ids(count))
    return _violations(fetch_from_pb, fetch)


def _condition(filters: int = 1, values: int = 1, matches: int = 1) -> list[str]:
    condition = pool.WakeCondition(
        condition_id="c",
        run_id="run-a",
        idempotency_key="k",
        filters=[pool.EventFilter(topics=_ids(values))] * filters,
        after_matches=matches,
    )
    return _violations(condition_from_pb, rpc.SuspendUntilRequest(pool_id="p", condition=condition))


def _condition_bytes(size_bytes: int) -> list[str]:
    condition = WakeCondition("c", "run-a", (), "k")
    return [found.description for found in condition_violations(condition, "c", size_bytes)]


def _ids(count: int) -> list[str]:
    return [f"id-{number}" for number in range(count)]


# What is refused of so many; a service joins with a row for each limit that it reports.
# None for a limit to which the server cuts what it sends or keeps, so that nothing is refused.
REFUSALS: Mapping[str, Mapping[str, Refusal | None]] = {
    "registry": {
        "max_resources_per_apply": _resources,
        "max_resource_bytes": _resource,
    },
    "router": {
        "max_messages_per_request": lambda count: _model_call(count, 0),
        "max_tools_per_request": lambda count: _model_call(1, count),
        "max_frame_bytes": None,
        "max_frame_items": None,
        "max_page_size": None,
        "max_pins": None,
    },
    "runcontrol": {
        "max_messages_per_submit": lambda count: _submit(count, 0),
        "max_topics_per_pool": lambda count: _submit(1, count),
        "max_pending_inputs_per_run": None,
    },
    "pool": {
        "max_inline_body_bytes": _body,
        "max_topics_per_member": lambda count: _join(topics=_ids(count)),
        "max_policy_refs": lambda count: _join(
            policy_refs=[pool.PolicyRef(policy_id=each) for each in _ids(count)]
        ),
        "max_correlation_entries": _correlation,
        "max_filters_per_wake": lambda count: _condition(filters=count),
        "max_values_per_filter_field": lambda count: _condition(values=count),
        "max_condition_bytes": _condition_bytes,
        "max_matches_per_wake": lambda count: _condition(matches=count),
        "max_deliveries_per_fetch": _fetch,
        "max_page_size": None,
    },
}
CASES = [
    (service, limit, refusal)
    for service, row in REFUSALS.items()
    for limit, refusal in row.items()
    if refusal is not None
]


def reported(service: str) -> Mapping[str, int]:
    limits: Mapping[str, int] = importlib.import_module(f"services.{service}.main").LIMITS
    return limits


def homes(service: str) -> Mapping[str, str]:
    """The module from which ``main`` imports each limit."""
    module = parsed(ROOT / "services" / service / "main.py")
    imported = {
        alias.asname or alias.name: node.module
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    (limits,) = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LIMITS"
    )
    assert isinstance(limits, ast.Dict)
    return {
        ast.literal_eval(name): imported.get(ast.unparse(value), "not imported")
        for name, value in zip(limits.keys, limits.values, strict=True)
        if name is not None
    }


@pytest.mark.parametrize("service", REFUSALS)
def test_every_limit_that_is_reported_is_a_constant_of_the_core(service: str) -> None:
    allowed = (f"services.{service}.core.", "services.chassis.", "services.content.model")
    found = homes(service)
    assert {limit: home for limit, home in found.items() if not home.startswith(allowed)} == {}
    assert set(found) == set(reported(service)) == set(REFUSALS[service])


@pytest.mark.parametrize(("service", "limit", "refusal"), CASES)
def test_a_refusal_names_the_limit_that_is_reported(
    service: str, limit: str, refusal: Refusal
) -> None:
    most = reported(service)[limit]

    texts = refusal(most + 1)

    assert len(texts) == 1, f"{limit} is {most:,}; {most + 1:,} are refused for {texts}"
    assert f"{most:,}" in texts[0] or str(most) in texts[0]
    assert refusal(most) == []
