"""Tool calls that wait for people: approved, denied, answered, cancelled, decided twice."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.rpc_status import reason_of
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.engines import on_both_engines

APPROVE = pb.Verdict(approve=pb.Approve())
DENY = pb.Verdict(deny=pb.Deny(reason="too risky"))


async def asker(suite: Suite, pool_id: str = "room") -> int:
    """An agent that sends one message, which needs approval, and then says how that went."""
    await suite.open_pool(pool_id)
    return await s.apply(
        suite.channel("registry"),
        s.builtin_provider(
            "p",
            s.calling("send", '{"body": "hello"}', tool_results=0),
            s.replying("it said ${what}", matches="(?P<what>denied|message_id|fine|cancelled)"),
        ),
        s.model("m", "p", tools=True),
        s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True),
        s.agent("asker", "m", "send"),
    )


async def waiting_ticket(suite: Suite, version: int) -> tuple[str, pb.Ticket]:
    """A run that waits for approval, and its ticket."""
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "asker", "go", pool_id="room", min_version=version)
    _, event = await s.until(channel, run_id, "ticket_opened")
    return run_id, event.ticket_opened.ticket


async def decide(
    suite: Suite, ticket_id: str, verdict: pb.Verdict, decision_id: str = "d-1"
) -> service.SubmitDecisionResponse:
    return await suite.runs.SubmitDecision(
        service.SubmitDecisionRequest(ticket_id=ticket_id, decision_id=decision_id, verdict=verdict)
    )


@pytest.mark.parametrize(
    ("verdict", "said", "state"),
    [
        (APPROVE, "it said message_id", pb.ToolInvocation.STATE_SUCCEEDED),
        (DENY, "it said denied", pb.ToolInvocation.STATE_FAILED),
        (
            pb.Verdict(answer=pb.Answer(content="fine")),
            "it said fine",
            pb.ToolInvocation.STATE_SUCCEEDED,
        ),
        (
            pb.Verdict(cancel_call=pb.CancelCall()),
            "it said cancelled",
            pb.ToolInvocation.STATE_CANCELLED,
        ),
    ],
    ids=["approve", "deny", "answer", "cancel_call"],
)
async def test_a_decision_settles_the_call_and_the_run_goes_on(
    suite: Suite, verdict: pb.Verdict, said: str, state: pb.ToolInvocation.State
) -> None:
    # given a run that waits for approval
    run_id, ticket = await waiting_ticket(suite, await asker(suite))

    # when its ticket is decided
    decided = await decide(suite, ticket.ticket_id, verdict)
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then the decision has the effect it names, once
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert said == events[-1].run_finished.output_text
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert [state] == [x.state for x in settled if x.tool_call_id == ticket.tool_call_id]
    assert s.uncovered_gaps(events) == []
    found = await suite.runs.GetTicket(service.GetTicketRequest(ticket_id=ticket.ticket_id))
    assert found.ticket.state == pb.Ticket.STATE_CONSUMED


@on_both_engines
async def test_a_decision_can_end_the_run(suite: Suite) -> None:
    # given a run that waits for approval
    run_id, ticket = await waiting_ticket(suite, await asker(suite))

    # when the decision is to cancel the run
    await decide(suite, ticket.ticket_id, pb.Verdict(cancel_run=pb.CancelWholeRun()))
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then it is cancelled
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_CANCELLED


@on_both_engines
async def test_repeats_losers_and_late_ones_are_told_apart(suite: Suite) -> None:
    # given a ticket that was approved
    run_id, ticket = await waiting_ticket(suite, await asker(suite))
    await decide(suite, ticket.ticket_id, APPROVE)
    await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # when the same decision comes again, another one, and another content under the first id
    repeat = await decide(suite, ticket.ticket_id, APPROVE)
    loser = await decide(suite, ticket.ticket_id, DENY, "d-2")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await decide(suite, ticket.ticket_id, DENY)

    # then each learns what it is
    assert repeat.outcome == service.DECISION_OUTCOME_DUPLICATE
    assert loser.outcome == service.DECISION_OUTCOME_CONFLICT
    assert loser.ticket.decision.decision_id == "d-1"
    assert reason_of(refused.value).reason == "IDEMPOTENCY_CONFLICT"


@on_both_engines
async def test_of_many_decisions_at_once_one_wins(suite: Suite) -> None:
    # given a ticket
    run_id, ticket = await waiting_ticket(suite, await asker(suite))

    # when twenty people decide it at the same time
    answers = await asyncio.gather(
        *(decide(suite, ticket.ticket_id, APPROVE if i % 2 else DENY, f"d-{i}") for i in range(20))
    )
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then one was accepted, the others know who won, and the call had one effect
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(service.DECISION_OUTCOME_ACCEPTED) == 1
    assert outcomes.count(service.DECISION_OUTCOME_CONFLICT) == 19
    assert len({answer.ticket.decision.decision_id for answer in answers}) == 1
    assert s.kinds(events).count("ticket_decided") == 1


async def test_a_decision_about_other_arguments_is_stale(suite: Suite) -> None:
    # given a ticket
    _, ticket = await waiting_ticket(suite, await asker(suite))

    # when somebody approves what they saw, and that was something else
    answer = await suite.runs.SubmitDecision(
        service.SubmitDecisionRequest(
            ticket_id=ticket.ticket_id,
            decision_id="d",
            verdict=APPROVE,
            expected_digest=b"another",
        )
    )

    # then it does not count
    assert (
        answer.outcome,
        answer.stale_reason,
    ) == (service.DECISION_OUTCOME_STALE, "digest_differs")
    assert answer.ticket.state == pb.Ticket.STATE_OPEN


async def test_a_ticket_of_a_cancelled_run_is_stale(suite: Suite) -> None:
    # given a run that waited for approval and was cancelled
    run_id, ticket = await waiting_ticket(suite, await asker(suite))
    await suite.runs.CancelRun(service.CancelRunRequest(run_id=run_id, reason="enough"))

    # when its ticket is decided
    answer = await decide(suite, ticket.ticket_id, APPROVE)

    # then it is too late
    assert (answer.outcome, answer.stale_reason) == (service.DECISION_OUTCOME_STALE, "cancelled")


@pytest.mark.parametrize("name", ["tool_call_id", "model_call_id"])
async def test_a_ticket_is_found_by_its_call(suite: Suite, name: str) -> None:
    # given a run that waits for approval
    run_id, ticket = await waiting_ticket(suite, await asker(suite))
    view = await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))
    (call,) = (c for c in view.tool_calls if c.tool_call_id == ticket.tool_call_id)

    # when the decision names the call instead of the ticket
    answer = await suite.runs.SubmitDecision(
        service.SubmitDecisionRequest(
            run_id=run_id, tool_call_id=getattr(call, name), decision_id="d", verdict=APPROVE
        )
    )

    # then it decides that ticket
    assert answer.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert ticket.ticket_id == answer.ticket.ticket_id


@on_both_engines
async def test_tickets_are_listed_page_by_page(suite: Suite) -> None:
    # given three runs that wait for approval
    version = await asker(suite)
    opened = [(await waiting_ticket(suite, version))[1].ticket_id for _ in range(3)]

    # when they are listed in pages of two
    first = await suite.runs.ListTickets(service.ListTicketsRequest(page_size=2))
    second = await suite.runs.ListTickets(
        service.ListTicketsRequest(page_size=2, page_token=first.next_page_token)
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await suite.runs.ListTickets(
            service.ListTicketsRequest(run_id="other", page_token=first.next_page_token)
        )

    # then all come once, oldest first, and a token is good for its own query only
    listed = [ticket.ticket_id for page in (first, second) for ticket in page.tickets]
    assert (opened, "") == (listed, second.next_page_token)
    assert reason_of(refused.value).reason == "INVALID_REQUEST"


async def test_a_person_answers_a_question(suite: Suite) -> None:
    # given an agent that asks a person
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider(
            "p",
            s.calling("ask", '{"question": "which colour?"}', tool_results=0),
            s.replying("it is ${colour}", matches="(?P<colour>blue|red)"),
        ),
        s.model("m", "p", tools=True),
        s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN),
        s.agent("curious", "m", "ask"),
    )
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "curious", "go", min_version=version)
    _, event = await s.until(channel, run_id, "ticket_opened")
    ticket = event.ticket_opened.ticket

    # when approval, which makes no sense, and then an answer is given
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await decide(suite, ticket.ticket_id, APPROVE, "d-0")
    await decide(suite, ticket.ticket_id, pb.Verdict(answer=pb.Answer(content="blue")))
    events = await s.follow_to_end(channel, run_id)

    # then the answer is what the model read
    assert reason_of(refused.value).reason == "VERDICT_NOT_APPLICABLE"
    assert (ticket.kind, ticket.question) == (pb.Ticket.KIND_QUESTION, "which colour?")
    assert events[-1].run_finished.output_text == "it is blue"
