"""Model calls: what is asked, what the pieces add up to, what a status means."""

from __future__ import annotations

import pytest

from services.content.model import FinishReason, Reasoning, Role, Text, ToolCall, Usage
from services.runcontrol.core.events import ReasoningDelta, Routed, TextDelta
from services.runcontrol.core.inference import (
    Draft,
    Finished,
    InferenceError,
    Item,
    ReasoningPiece,
    Restarted,
    classify,
    coalesce,
    event_of,
    question_for,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.specs import AgentSpec, Specs
from tests.unit.runcontrol.world import World, agent

ROUTED = Routed("pool", "model-1", "provider", "", "home", 1)


def collected(*items: Item) -> Draft:
    draft = Draft()
    for item in items:
        draft = draft.add(item)
    return draft


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("RESOURCE_EXHAUSTED", "UPSTREAM_EXHAUSTED", RetryClass.THROTTLED),
        ("UNAVAILABLE", "ALL_MEMBERS_UNAVAILABLE", RetryClass.THROTTLED),
        ("UNAVAILABLE", "MEMBERS_EXHAUSTED", RetryClass.THROTTLED),
        ("UNAVAILABLE", "SNAPSHOT_BEHIND", RetryClass.THROTTLED),
        ("UNAVAILABLE", "STREAM_INTERRUPTED", RetryClass.ERROR),
        ("UNAVAILABLE", "", RetryClass.ERROR),
        ("DEADLINE_EXCEEDED", "", RetryClass.ERROR),
        ("ABORTED", "", RetryClass.ERROR),
        ("INTERNAL", "INTERNAL", RetryClass.ERROR),
        ("INVALID_ARGUMENT", "CONTEXT_OVERFLOW", RetryClass.FATAL),
        ("FAILED_PRECONDITION", "UPSTREAM_REJECTED", RetryClass.FATAL),
        ("NOT_FOUND", "TARGET_NOT_FOUND", RetryClass.FATAL),
    ],
)
def test_a_status_of_the_router_decides_about_the_next_attempt(
    code: str, reason: str, expected: RetryClass
) -> None:
    # given a status
    # when it is classified
    # then it is as the contract's table says
    assert classify(code, reason) is expected


def test_pieces_add_up_to_a_message() -> None:
    # given a stream with everything in it
    call = ToolCall("c", "tool", "{}")
    draft = collected(
        ROUTED,
        ReasoningPiece("let me ", "p"),
        ReasoningPiece("think", "p"),
        TextDelta("one "),
        TextDelta("two"),
        call,
        Usage(3, 4),
        Finished(FinishReason.TOOL_CALLS),
    )

    # when its message is taken
    message = draft.message()

    # then it has reasoning, text and calls, in this order
    assert message.role is Role.ASSISTANT
    assert message.parts == (Reasoning("let me think", "p"), Text("one two"), call)
    assert (draft.usage, draft.finish_reason, draft.model_id) == (
        Usage(3, 4),
        FinishReason.TOOL_CALLS,
        "model-1",
    )


def test_sealed_reasoning_is_complete_and_providers_do_not_mix() -> None:
    # given reasoning that is sealed, and then of another provider
    draft = collected(
        ReasoningPiece("a", "p", b"seal"),
        ReasoningPiece("b", "p"),
        ReasoningPiece("c", "q"),
    )

    # when the parts are looked at
    # then each is its own
    assert draft.reasoning == (
        Reasoning("a", "p", b"seal"),
        Reasoning("b", "p"),
        Reasoning("c", "q"),
    )


def test_an_answer_that_starts_over_forgets_what_came() -> None:
    # given an answer that is started over by another member
    draft = collected(ROUTED, TextDelta("half"), Restarted(), TextDelta("whole"))

    # when its message is taken
    # then only the new one counts
    assert draft.message().text == "whole"
    assert draft.model_id == "model-1"


def test_an_empty_answer_is_an_empty_text() -> None:
    # given a stream without content
    # when its message is taken
    # then it is legal: a message has at least one part
    assert collected(Finished(FinishReason.STOP)).message().parts == (Text(""),)
    assert collected(ToolCall("c", "t", "{}")).message().parts == (ToolCall("c", "t", "{}"),)


def test_subscribers_see_deltas_and_the_route_only() -> None:
    # given items of every kind
    items: list[Item] = [
        ROUTED,
        TextDelta("x"),
        ReasoningPiece("y"),
        ReasoningPiece("", opaque_state=b"s"),
        Usage(),
        Finished(FinishReason.STOP),
        Restarted(),
    ]

    # when they are told
    told = [event_of(item) for item in items]

    # then the others are not
    assert told == [ROUTED, TextDelta("x"), ReasoningDelta("y"), None, None, None, None]


def test_adjacent_deltas_of_one_sort_become_one() -> None:
    # given deltas with a change of sort in between
    kinds = [
        TextDelta("a"),
        TextDelta("b"),
        ReasoningDelta("c"),
        ReasoningDelta("d"),
        TextDelta("e"),
    ]

    # when they are coalesced
    # then order and content are kept
    assert coalesce(kinds) == (TextDelta("ab"), ReasoningDelta("cd"), TextDelta("e"))
    assert coalesce([]) == ()


def test_the_agents_instructions_come_first() -> None:
    # given a run of an agent with instructions, and one without
    world = World()
    world.submit()
    run = world.run()
    specs = agent()
    silent = Specs(AgentSpec("a", "m", "", (), (), 1), ())

    # when the question is put together
    question = question_for(run, specs, world.prompt())

    # then they precede the conversation, if there are any
    assert [(m.role, m.text) for m in question.messages] == [(Role.SYSTEM, "be brief")]
    assert question_for(run, silent, ()).messages == ()
    assert (question.target_id, question.min_registry_version) == ("model", 7)
    assert {t.tool_id for t in question.tools} == {t.tool_id for t in specs.tools}


def test_an_inference_error_says_what_failed() -> None:
    # given a failure
    failure = Failure(RetryClass.ERROR, "STREAM_INTERRUPTED", "it broke")

    # when it is raised
    # then its text names reason and message
    assert str(InferenceError(failure)) == "STREAM_INTERRUPTED: it broke"
