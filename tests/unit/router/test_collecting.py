"""The items of a stream, collected into one answer."""

from __future__ import annotations

from functools import reduce

from services.content.model import (
    FinishReason,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    Usage,
    UsageSource,
)
from services.router.core.collecting import Collected, collect
from services.router.core.items import (
    Finished,
    Item,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)
from tests.unit.router.builders import attempt, decision

DECISION = decision([attempt(1)])
CALL = ToolCall("c1", "look", '{"at": "harbour"}')


def collected(*items: Item) -> Collected:
    return reduce(collect, items, Collected())


def test_a_whole_answer_has_its_content_usage_reason_and_decision() -> None:
    # given a stream with everything that it may have
    answer = collected(
        Started(DECISION, "r1"),
        ReasoningDelta("so ", "p"),
        ReasoningDelta("far", "p", b"sealed"),
        TextDelta("It is "),
        TextDelta("calm."),
        ToolCallDelta(0, '{"at"', "c1", "look"),
        ToolCallReady(0, CALL),
        UsageReport(Usage(3, 1, source=UsageSource.PROVIDER)),
        UsageReport(Usage(3, 7, source=UsageSource.PROVIDER)),
        Finished(FinishReason.TOOL_CALLS, DECISION),
    )

    # then deltas are joined, a call counts once, and of the reports of usage the last one
    parts = (Reasoning("so far", "p", b"sealed"), Text("It is calm."), CALL)
    assert answer.content.message() == Message(Role.ASSISTANT, parts)
    assert answer.usage == Usage(3, 7, source=UsageSource.PROVIDER)
    assert (answer.finish_reason, answer.decision) == (FinishReason.TOOL_CALLS, DECISION)


def test_an_answer_that_is_not_complete_has_no_reason() -> None:
    answer = collected(Started(DECISION, "r1"), TextDelta("It is"))

    assert (answer.finish_reason, answer.decision, answer.usage) == (None, None, None)


def test_an_answer_without_content_is_an_empty_text() -> None:
    answer = collected(Started(DECISION, ""), Finished(FinishReason.CONTENT_FILTER, DECISION))

    assert answer.content.message() == Message(Role.ASSISTANT, (Text(""),))
