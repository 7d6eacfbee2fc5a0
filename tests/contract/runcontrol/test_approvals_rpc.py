"""Tool calls that wait for people: approved, denied, answered, cancelled, decided twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.refusals import refused

APPROVE = pb.Verdict(approve=pb.Approve())
SECOND = timedelta(seconds=1)
DENY = pb.Verdict(deny=pb.Deny(reason="too risky"))


async def apply_asker(suite: Suite) -> None:
    """Apply an agent that sends one message, which needs approval, and reports the result."""
    await suite.open_pool("room")
    await suite.apply_agent(
        "asker",
        s.calling("send", '{"body": "hello"}', tool_results=0),
        s.replying("it said ${what}", matches="(?P<what>denied|message_id|fine|cancelled)"),
        tools=[s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True)],
    )


async def open_ticket(suite: Suite, agent_id: str = "asker", **fields: str) -> pb.Ticket:
    """The ticket of a new run."""
    run_id = await suite.submit(agent_id, **fields)
    _, event = await suite.until(run_id, "ticket_opened")
    return event.ticket_opened.ticket


@pytest.fixture
async def ticket(suite: Suite) -> pb.Ticket:
    """A ticket of a run that waits for approval."""
    await apply_asker(suite)
    return await open_ticket(suite, pool_id="room")


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
async def test_a_decision_settles_the_call_and_the_run_continues(
    suite: Suite, ticket: pb.Ticket, verdict: pb.Verdict, said: str, state: pb.ToolInvocation.State
) -> None:
    # given a run that waits for approval

    # when its ticket is decided
    decided = await suite.decide(verdict, ticket_id=ticket.ticket_id)
    events = await suite.follow(ticket.run_id)

    # then the effect of the verdict happened once
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert said == events[-1].run_finished.output_text
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert [state] == [x.state for x in settled if x.tool_call_id == ticket.tool_call_id]
    assert uncovered_gaps(events) == []
    found = await suite.runs.GetTicket(service.GetTicketRequest(ticket_id=ticket.ticket_id))
    assert found.ticket.state == pb.Ticket.STATE_CONSUMED


@on_both_engines
async def test_a_decision_can_end_the_run(suite: Suite, ticket: pb.Ticket) -> None:
    # given a run that waits for approval

    # when the decision is to cancel the run
    await suite.decide(pb.Verdict(cancel_run=pb.CancelWholeRun()), ticket_id=ticket.ticket_id)
    events = await suite.follow(ticket.run_id)

    # then it is cancelled
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_CANCELLED


@on_both_engines
async def test_every_decision_of_a_decided_ticket_has_its_outcome(
    suite: Suite, ticket: pb.Ticket
) -> None:
    # given a ticket that was approved
    await suite.decide(APPROVE, ticket_id=ticket.ticket_id)
    await suite.follow(ticket.run_id)

    # when the decision is repeated, another one submitted, and other content under the first id
    repeat = await suite.decide(APPROVE, ticket_id=ticket.ticket_id)
    loser = await suite.decide(DENY, "d-2", ticket_id=ticket.ticket_id)
    refusal = await refused(suite.decide(DENY, ticket_id=ticket.ticket_id))

    # then each has its own outcome
    assert repeat.outcome == service.DECISION_OUTCOME_DUPLICATE
    assert loser.outcome == service.DECISION_OUTCOME_CONFLICT
    assert loser.ticket.decision.decision_id == "d-1"
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"


@on_both_engines
async def test_of_many_decisions_at_once_one_wins(suite: Suite, ticket: pb.Ticket) -> None:
    # given a ticket

    # when twenty people decide it at the same time
    answers = await asyncio.gather(
        *(
            suite.decide(APPROVE if i % 2 else DENY, f"d-{i}", ticket_id=ticket.ticket_id)
            for i in range(20)
        )
    )
    events = await suite.follow(ticket.run_id)

    # then one was accepted, the others name the winner, and the call had one effect
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(service.DECISION_OUTCOME_ACCEPTED) == 1
    assert outcomes.count(service.DECISION_OUTCOME_CONFLICT) == 19
    assert len({answer.ticket.decision.decision_id for answer in answers}) == 1
    assert s.kinds(events).count("ticket_decided") == 1


async def test_a_decision_about_other_arguments_is_stale(suite: Suite, ticket: pb.Ticket) -> None:
    # given a ticket

    # when it is approved for another digest
    answer = await suite.decide(APPROVE, ticket_id=ticket.ticket_id, expected_digest=b"another")

    # then the decision is stale
    assert answer.outcome == service.DECISION_OUTCOME_STALE
    assert answer.stale_reason == "digest_differs"
    assert answer.ticket.state == pb.Ticket.STATE_OPEN


async def test_a_ticket_of_a_cancelled_run_is_stale(suite: Suite, ticket: pb.Ticket) -> None:
    # given a run that waited for approval and was cancelled
    await suite.cancel(run_id=ticket.run_id)

    # when its ticket is decided
    answer = await suite.decide(APPROVE, ticket_id=ticket.ticket_id)

    # then the decision is stale
    assert (answer.outcome, answer.stale_reason) == (service.DECISION_OUTCOME_STALE, "cancelled")


@pytest.mark.parametrize("name", ["tool_call_id", "model_call_id"])
async def test_a_ticket_is_found_by_its_call(suite: Suite, ticket: pb.Ticket, name: str) -> None:
    # given a run that waits for approval
    view = await suite.view(ticket.run_id)
    (call,) = (c for c in view.tool_calls if c.tool_call_id == ticket.tool_call_id)

    # when the decision names the call instead of the ticket
    target = {"run_id": ticket.run_id, "tool_call_id": getattr(call, name)}
    answer = await suite.decide(APPROVE, **target)

    # then it decides that ticket
    assert answer.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert ticket.ticket_id == answer.ticket.ticket_id


@on_both_engines
async def test_tickets_are_listed_page_by_page(suite: Suite) -> None:
    # given three runs that wait for approval
    await apply_asker(suite)
    opened = [(await open_ticket(suite, pool_id="room")).ticket_id for _ in range(3)]

    # when they are listed in pages of two
    first = await suite.runs.ListTickets(service.ListTicketsRequest(page_size=2))
    rest = service.ListTicketsRequest(page_size=2, page_token=first.next_page_token)
    second = await suite.runs.ListTickets(rest)
    other = service.ListTicketsRequest(run_id="other", page_token=first.next_page_token)
    refusal = await refused(suite.runs.ListTickets(other))

    # then each is listed once, oldest first, and a token is bound to its query
    listed = [ticket.ticket_id for page in (first, second) for ticket in page.tickets]
    assert (opened, "") == (listed, second.next_page_token)
    assert refusal.reason == "INVALID_REQUEST"


async def test_a_person_answers_a_question(suite: Suite) -> None:
    # given an agent that asks a person
    await suite.apply_agent(
        "asker",
        s.calling("ask", '{"question": "which colour?"}', tool_results=0),
        s.replying("it is ${colour}", matches="(?P<colour>blue|red)"),
        tools=[s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN)],
    )
    ticket = await open_ticket(suite, "asker")

    # when it is approved, which is not applicable, and then answered
    refusal = await refused(suite.decide(APPROVE, "d-0", ticket_id=ticket.ticket_id))
    await suite.decide(pb.Verdict(answer=pb.Answer(content="blue")), ticket_id=ticket.ticket_id)
    events = await suite.follow(ticket.run_id)

    # then the answer is the result that the model read
    assert refusal.reason == "VERDICT_NOT_APPLICABLE"
    assert (ticket.kind, ticket.question) == (pb.Ticket.KIND_QUESTION, "which colour?")
    assert events[-1].run_finished.output_text == "it is blue"


@on_both_engines
async def test_the_time_of_a_ticket_runs_out_across_a_restart(suite: Suite) -> None:
    # given a run that waits for approval, for a second
    hasty = s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True)
    hasty.tool.approval_timeout.FromSeconds(1)
    await suite.open_pool("room")
    await suite.apply_agent(
        "asker",
        s.calling("send", '{"body": "hello"}', tool_results=0),
        s.replying("it was ${what}", matches="(?P<what>denied)"),
        tools=[hasty],
    )
    ticket = await open_ticket(suite, pool_id="room")

    # when run control is started anew, and nobody decides
    await suite.restart_runcontrol()
    events = await suite.follow(ticket.run_id)
    late = await suite.decide(APPROVE, ticket_id=ticket.ticket_id)

    # then the call was denied, and a decision is too late
    assert ticket.expire_time.ToDatetime() - ticket.create_time.ToDatetime() == SECOND
    assert s.kinds(events).count("ticket_expired") == 1
    assert events[-1].run_finished.output_text == "it was denied"
    assert (late.outcome, late.stale_reason) == (service.DECISION_OUTCOME_STALE, "expired")
    assert late.ticket.state == pb.Ticket.STATE_EXPIRED


@on_both_engines
async def test_an_approved_call_does_not_start_once_its_tool_is_denied(
    suite: Suite, ticket: pb.Ticket
) -> None:
    # given a run that waits for approval, and a registry version that denies its tool
    denied = s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND)
    denied.tool.approval = content.APPROVAL_DENY
    await suite.apply(denied)
    # Run control knows that version once it has taken a run that requires it.
    await suite.submit("asker")

    # when the call is approved
    decided = await suite.decide(APPROVE, ticket_id=ticket.ticket_id)
    events = await suite.follow(ticket.run_id)

    # then it was not started, and the events say why
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert events[-1].run_finished.output_text == "it said denied"
    assert [e.ticket_voided.reason for e in events if e.HasField("ticket_voided")] == ["denied"]
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    says = f"denied by policy: registry version {suite.version} forbids send"
    assert [says] == [x.result for x in settled if x.tool_call_id == ticket.tool_call_id]
