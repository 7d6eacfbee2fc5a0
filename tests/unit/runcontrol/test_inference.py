"""Model calls: their requests, the assembly of their items, and the meaning of their statuses."""

from __future__ import annotations

import pytest

from services.content.model import FinishReason, Reasoning, Role, Text, ToolCall, Usage
from services.runcontrol.core.events import ReasoningDelta, Routed, TextDelta
from services.runcontrol.core.inference import (
    Draft,
    Finished,
    InferenceError,
    Item,
    Restarted,
    classify,
    coalesce,
    event_of,
    model_call_for,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.specs import AgentSpec, Specs
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent

ROUTED = Routed("pool", "model-1", "provider", "", 1, "home")
ELSEWHERE = Routed("pool", "model-2", "provider", "model-1", 2, "moved", "stream_truncated")


def collected(*items: Item) -> Draft:
    draft = Draft()
    for item in items:
        draft = draft.add(item)
    return draft


@pytest.mark.parametrize(
    ("code", "reason", "failure", "answered", "expected"),
    [
        ("RESOURCE_EXHAUSTED", "UPSTREAM_EXHAUSTED", "rate_limit", False, RetryClass.THROTTLED),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", "", False, RetryClass.THROTTLED),
        ("RESOURCE_EXHAUSTED", "", "", False, RetryClass.FATAL),
        ("UNAVAILABLE", "ALL_MEMBERS_UNAVAILABLE", "", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "MEMBERS_EXHAUSTED", "", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "SNAPSHOT_BEHIND", "", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "UPSTREAM_OVERLOADED", "overloaded", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "ROUTER_OVERLOADED", "local_limit", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "UPSTREAM_FAILED", "timeout_connect", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "UPSTREAM_FAILED", "server_error", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "UPSTREAM_FAILED", "circuit_open", False, RetryClass.THROTTLED),
        ("UNAVAILABLE", "UPSTREAM_FAILED", "server_error", True, RetryClass.ERROR),
        ("UNAVAILABLE", "UPSTREAM_FAILED", "stream_malformed", False, RetryClass.ERROR),
        ("UNAVAILABLE", "STREAM_INTERRUPTED", "server_error", False, RetryClass.ERROR),
        ("UNAVAILABLE", "", "", False, RetryClass.ERROR),
        ("DEADLINE_EXCEEDED", "", "", False, RetryClass.ERROR),
        ("ABORTED", "", "", False, RetryClass.ERROR),
        ("INTERNAL", "INTERNAL", "", False, RetryClass.ERROR),
        ("INVALID_ARGUMENT", "CONTEXT_OVERFLOW", "context_length", False, RetryClass.FATAL),
        ("FAILED_PRECONDITION", "UPSTREAM_REJECTED", "auth", False, RetryClass.FATAL),
        ("NOT_FOUND", "TARGET_NOT_FOUND", "", False, RetryClass.FATAL),
    ],
)
def test_a_status_of_the_router_has_a_retry_class(
    code: str, reason: str, failure: str, answered: bool, expected: RetryClass
) -> None:
    # given a status
    # when it is classified
    # then its class is that of the contract's table
    assert classify(code, reason, failure, answered=answered) is expected


def test_items_are_assembled_into_a_message() -> None:
    # given a stream with every kind of item
    call = ToolCall("c", "tool", "{}")
    draft = collected(
        ROUTED,
        Reasoning("let me ", "p"),
        Reasoning("think", "p"),
        TextDelta("one "),
        TextDelta("two"),
        call,
        Usage(3, 4),
        Finished(FinishReason.TOOL_CALLS),
    )

    # when its message is built
    message = draft.message()

    # then it has reasoning, text and calls, in this order
    assert message.role is Role.ASSISTANT
    assert message.parts == (Reasoning("let me think", "p"), Text("one two"), call)
    assert (draft.usage, draft.model_id) == (Usage(3, 4), "model-1")
    assert draft.finish_reason is FinishReason.TOOL_CALLS


def test_reasoning_is_joined_per_provider_until_it_is_sealed() -> None:
    # given sealed reasoning, and reasoning of another provider
    parts = [("a", "p", b"seal"), ("b", "p", b""), ("c", "q", b"")]
    draft = collected(*(Reasoning(*part) for part in parts))

    # when the parts are read
    # then they are separate
    assert draft.content.reasoning == tuple(Reasoning(*part) for part in parts)


def test_an_answer_that_starts_over_drops_its_earlier_items() -> None:
    # given an answer that another member starts over
    draft = collected(ROUTED, TextDelta("half"), Restarted(ELSEWHERE), TextDelta("whole"))

    # when its message is built
    # then it has the items after the restart only
    assert draft.message().text == "whole"
    assert draft.model_id == "model-2"


def test_an_empty_answer_becomes_an_empty_text() -> None:
    # given a stream without content
    # when its message is built
    # then it has one part, as every message must
    assert collected(Finished(FinishReason.STOP)).message().parts == (Text(""),)
    assert collected(ToolCall("c", "t", "{}")).message().parts == (ToolCall("c", "t", "{}"),)


def test_subscribers_see_deltas_and_the_route_only() -> None:
    # given items of every kind
    items: list[Item] = [
        ROUTED,
        TextDelta("x"),
        Reasoning("y"),
        Reasoning("", opaque_state=b"s"),
        Usage(),
        Finished(FinishReason.STOP),
        Restarted(ELSEWHERE),
    ]

    # when their events are made
    told = [event_of(item) for item in items]

    # then the other items have none
    assert told == [ROUTED, TextDelta("x"), ReasoningDelta("y"), None, None, None, ELSEWHERE]


def test_adjacent_deltas_of_one_kind_are_joined() -> None:
    # given deltas of two kinds
    texts, thoughts = [TextDelta("a"), TextDelta("b")], [ReasoningDelta("c"), ReasoningDelta("d")]

    # when they are coalesced
    # then order and text are the same
    assert coalesce([*texts, *thoughts, TextDelta("e")]) == (
        TextDelta("ab"),
        ReasoningDelta("cd"),
        TextDelta("e"),
    )
    assert coalesce([]) == ()


def test_the_agents_instructions_come_first(system: InMemoryRunControl) -> None:
    # given a run of an agent with instructions, and one without
    system.submit()
    run = system.run()
    specs = agent()
    silent = Specs(AgentSpec("a", "m", "", (), (), 1), ())

    # when the model call is built
    model_call = model_call_for(run, specs, system.record())

    # then the instructions precede the conversation, if there are any
    assert [(m.role, m.text) for m in model_call.messages] == [
        (Role.SYSTEM, "be brief"),
        (Role.USER, "Go on."),
    ]
    assert [m.role for m in model_call_for(run, silent, ()).messages] == [Role.USER]
    assert (model_call.target_id, model_call.min_registry_version) == ("model", 7)
    assert {t.tool_id for t in model_call.tools} == {t.tool_id for t in specs.tools}


def test_an_inference_error_names_reason_and_message() -> None:
    # given a failure
    failure = Failure(RetryClass.ERROR, "STREAM_INTERRUPTED", "it broke")

    # when it is raised
    # then its text names reason and message
    assert str(InferenceError(failure)) == "STREAM_INTERRUPTED: it broke"
