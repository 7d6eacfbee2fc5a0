"""What a person is shown of a run, and what only with --verbose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.provider.v1 import provider_pb2
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.runs.quiet import Quiet
from services.cli.runs.showing import shown
from services.cli.runs.view import RunView
from tests.support.clock import ManualClock
from tests.support.waiting import until
from tests.unit.cli.test_changes import screen

WAKE = pb.WaitingReason(kind=pb.WAITING_KIND_WAKE, tool_call_id="c2")
APPROVAL = pb.WaitingReason(kind=pb.WAITING_KIND_APPROVAL, tool_call_id="c1", ticket_id="t1")


def at(ms: int, **kind: object) -> pb.Event:
    return pb.Event(create_time=Timestamp(seconds=1, nanos=ms * 1_000_000), **kind)  # type: ignore[arg-type]


def planned(call_id: str, tool_id: str = "pool_send", arguments: str = '{"body":"hi"}') -> pb.Event:
    call = pb.ToolInvocation(tool_call_id=call_id, tool_id=tool_id, arguments_json=arguments)
    return at(0, tool_call_planned={"call": call})


def settled(call_id: str, result: str = "sent") -> pb.Event:
    state = pb.ToolInvocation.STATE_SUCCEEDED
    return at(0, tool_call_settled={"tool_call_id": call_id, "state": state, "result": result})


def parked(ms: int, *reasons: pb.WaitingReason) -> pb.Event:
    return at(ms, run_parked={"reasons": reasons})


def woken(ms: int, cause: str = "tool_result") -> pb.Event:
    return at(ms, run_woken={"cause": cause})


def resumed(*causes: str) -> pb.Event:
    return at(0, run_resumed={"causes": causes})


def routed(target: str, model: str, switched_from: str = "") -> pb.Event:
    return at(
        0,
        routed={
            "target_id": target,
            "model_id": model,
            "switched_from_model_id": switched_from,
            "failure": provider_pb2.FAILURE_CLASS_RATE_LIMIT,
            "attempts": 1,
        },
    )


def lines(*events: pb.Event) -> list[str]:
    terminal, file = screen()
    view = RunView(terminal, quiet=Quiet())
    for event in events:
        view.show(event)
    view.release()
    return file.getvalue().splitlines()


TICKET = pb.Ticket(
    ticket_id="t1", tool_call_id="c1", tool_id="pool_send", arguments_json='{"body":"hi"}'
)
FINISHED = at(0, run_finished={"termination": {"reason": pb.TERMINATION_REASON_NATURAL_END}})


def test_a_run_with_two_quick_calls_is_a_line_per_call_its_text_and_its_end() -> None:
    assert lines(
        at(0, run_queued={"agent_id": "scout"}),
        at(0, run_started={"attempt": 1}),
        routed("small", "small"),
        planned("c1"),
        parked(10, pb.WaitingReason(kind=pb.WAITING_KIND_TOOL, tool_call_id="c1")),
        woken(30),
        resumed("tool_result"),
        settled("c1"),
        routed("small", "small"),
        planned("c2", "look", "{}"),
        settled("c2", "found"),
        routed("small", "small"),
        at(0, text_delta={"text": "Done."}),
        FINISHED,
    ) == [
        '· pool_send {"body":"hi"} succeeded: sent',
        "· look {} succeeded: found",
        "» Done.",
        "· finished: natural end (0 tokens in, 0 out)",
    ]


def test_a_wait_of_100_ms_is_shown_with_what_it_waits_for() -> None:
    assert lines(
        planned("c2", "pool_wait", "{}"),
        parked(0, WAKE),
        woken(100, "wake"),
        resumed("wake"),
        settled("c2", "woken"),
    ) == [
        "· calls pool_wait {}",
        "· parked, holds nothing, waits for wake (pool_wait)",
        "· woken by a wake from the pool",
        "· pool_wait succeeded: woken",
    ]


def test_a_wait_of_99_ms_is_not_shown() -> None:
    assert lines(planned("c2", "pool_wait", "{}"), parked(0, WAKE), woken(99, "wake")) == [
        "· calls pool_wait {}"
    ]


def test_an_approval_is_told_by_its_question_and_its_decision() -> None:
    decision = pb.Decision(verdict={"approve": {}}, decided_by="ann")
    assert lines(
        planned("c1"),
        at(0, ticket_opened={"ticket": TICKET}),
        parked(0, APPROVAL),
        at(900, ticket_decided={"ticket_id": "t1", "decision": decision}),
        woken(900, "decision"),
        resumed("decision"),
        settled("c1"),
    ) == [
        '· asks for a decision: may it call pool_send with {"body":"hi"}',
        "·   runyard decide t1 approve",
        "· decision: approve by ann",
        "· pool_send succeeded: sent",
    ]


def test_a_wait_for_a_person_and_for_a_pool_is_shown() -> None:
    assert lines(parked(0, APPROVAL, WAKE)) == [
        "· parked, holds nothing, waits for approval (pool_join), wake (pool_join)"
    ]


def test_calls_that_are_open_together_are_told_each_with_its_own_result() -> None:
    assert lines(
        planned("c1"), planned("c2", "look", "{}"), settled("c2", "found"), settled("c1")
    ) == ["· look {} succeeded: found", '· pool_send {"body":"hi"} succeeded: sent']


@pytest.mark.parametrize(
    ("events", "shown_lines"),
    [
        ([routed("small", "small")], []),
        ([routed("pool", "a"), routed("pool", "a")], ["· routed pool → a"]),
        ([routed("pool", "a"), routed("pool", "b")], ["· routed pool → a", "· routed pool → b"]),
        (
            [routed("pool", "b", "a"), routed("pool", "b", "a")],
            ["· routed pool: a → b because of rate limit, 1 attempt"] * 2,
        ),
    ],
    ids=["a model by its id", "the same member", "another member", "a move, each time"],
)
def test_a_route_is_shown_when_it_says_something(
    events: list[pb.Event], shown_lines: list[str]
) -> None:
    assert lines(*events) == shown_lines


@pytest.mark.parametrize(
    ("causes", "shown_lines"),
    [
        (["decision"], []),
        (["wake"], []),
        (["recovery"], ["· goes on for a recovery"]),
        (["backoff"], ["· goes on for its next attempt"]),
    ],
)
def test_a_run_goes_on_in_silence_unless_nothing_else_says_why(
    causes: list[str], shown_lines: list[str]
) -> None:
    assert lines(resumed(*causes)) == shown_lines


async def test_what_nothing_follows_is_shown_after_100_ms() -> None:
    # given a call that was planned, and nothing after it
    terminal, file = screen()
    view, clock = RunView(terminal, quiet=Quiet()), ManualClock()

    async def events() -> AsyncGenerator[pb.Event]:
        yield planned("c1")
        await until(lambda: bool(file.getvalue()))
        yield settled("c1")

    async with aclosing(shown(events(), view, clock)) as showing:
        await anext(showing)
        following = asyncio.ensure_future(anext(showing))
        await until(lambda: clock.sleepers == 1)
        assert file.getvalue() == ""

        # when its time has passed
        clock.advance(0.1)
        await following

    # then it was shown before its result
    assert file.getvalue().splitlines() == [
        '· calls pool_send {"body":"hi"}',
        "· pool_send succeeded: sent",
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pb.WAITING_KIND_APPROVAL,
        pb.WAITING_KIND_USER_INPUT,
        pb.WAITING_KIND_RECONCILE,
        pb.WAITING_KIND_TOOL_INPUT,
    ],
)
def test_a_wait_for_a_ticket_has_no_line_of_its_own(kind: pb.WaitingKind) -> None:
    parked = at(0, run_parked={"reasons": [{"kind": kind, "ticket_id": "t1"}]})
    assert lines(at(0, ticket_opened={"ticket": TICKET}), parked) == lines(
        at(0, ticket_opened={"ticket": TICKET})
    )
