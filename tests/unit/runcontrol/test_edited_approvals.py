"""Approvals with other arguments: checked as the model's are, and exactly they are used."""

from __future__ import annotations

import json

import pytest

from services.chassis.errors import InvalidRequestError
from services.content.model import Approval, EffectClass
from services.runcontrol.core.commands import SendCommand
from services.runcontrol.core.errors import TicketNotFoundError, VerdictNotApplicableError
from services.runcontrol.core.events import TicketDecided, ToolCallPlanned
from services.runcontrol.core.exchange import TicketState, VerdictKind
from services.runcontrol.core.gating import argument_digest
from services.runcontrol.core.specs import Builtin, ToolSpec
from services.runcontrol.core.stepping import Parked
from services.runcontrol.core.tickets import DecisionOutcome
from tests.unit.runcontrol.in_memory_runcontrol import QUESTION, InMemoryRunControl, agent

EDITED = VerdictKind.APPROVE_EDITED
SCHEMA = {
    "type": "object",
    "properties": {"body": {"type": "string", "maxLength": 20}, "pool_id": {"type": "string"}},
    "required": ["body", "pool_id"],
}
SEND = ToolSpec(
    *("send", "", json.dumps(SCHEMA), EffectClass.IDEMPOTENT, Approval.ASK, Builtin.POOL_SEND),
    version="v1",
)
ASKED = '{"body": "hi", "pool_id": "room"}'
# Not as a JSON writer of ours would write it.
WRITTEN = '{ "pool_id":"room",\n "body":"h\\u0069 there" }'


def gated() -> InMemoryRunControl:
    """A run that waits for approval of one message."""
    system = InMemoryRunControl(agent(tools=(SEND,)))
    system.start(("send", ASKED))
    return system


def test_exactly_the_approvers_arguments_are_used() -> None:
    # given a run that waits for approval
    system = gated()

    # when it is approved with other arguments, and the run continues
    decided = system.decide(EDITED, WRITTEN)
    following = system.advance(system.claim_one())

    # then these were sent
    assert (decided.outcome, following) == (DecisionOutcome.ACCEPTED, Parked())
    sent = system.command()
    assert isinstance(sent, SendCommand)
    assert sent.body == "hi there"

    # and call, ticket and event say whose they are, byte by byte, under a digest of their own
    call, ticket = system.call(), system.ticket()
    digest = argument_digest("send", "v1", WRITTEN)
    assert (call.arguments_json, call.arguments_by, call.digest) == (WRITTEN, "local", digest)
    assert (ticket.arguments_json, ticket.digest) == (WRITTEN, digest)
    assert ticket.state is TicketState.CONSUMED
    decision = system.last_event(TicketDecided).decision
    assert (decision.verdict.text, decision.decided_by) == (WRITTEN, "local")
    assert system.last_event(ToolCallPlanned).call.arguments_json == ASKED


def test_arguments_that_violate_the_schema_are_refused_with_all_violations() -> None:
    # given a run that waits for approval
    system = gated()
    before = system.tables

    # when it is approved with arguments that violate the schema twice
    with pytest.raises(InvalidRequestError) as refused:
        system.decide(EDITED, '{"body": "a text that is longer than twenty"}')

    # then both violations are told, and nothing has changed
    field = "verdict.approve_edited.arguments_json"
    assert [(v.field, v.description) for v in refused.value.violations] == [
        (field, "$.body: 'a text that is longer than twenty' is too long"),
        (field, "$: 'pool_id' is a required property"),
    ]
    assert system.tables.tickets == before.tickets
    assert system.tables.decisions == {}
    assert system.ticket().state is TicketState.OPEN


@pytest.mark.parametrize("text", ["[]", "null", "{", '"text"', '{"body": "\\ud800"}'])
def test_arguments_that_are_no_object_are_refused(text: str) -> None:
    system = gated()
    with pytest.raises(InvalidRequestError, match="not a JSON object"):
        system.decide(EDITED, text)
    assert system.ticket().state is TicketState.OPEN


def test_a_repeat_is_a_duplicate_and_other_arguments_lose() -> None:
    # given a ticket that was approved with other arguments
    system = gated()
    system.decide(EDITED, WRITTEN, "d-1")

    # when that is repeated, and somebody approves what the model asked for
    repeat = system.decide(EDITED, WRITTEN, "d-1")
    loser = system.decide(VerdictKind.APPROVE, "", "d-2")

    # then each has its outcome, and the ticket shows what will be used
    assert repeat.outcome is DecisionOutcome.DUPLICATE
    assert loser.outcome is DecisionOutcome.CONFLICT
    assert loser.ticket.arguments_json == WRITTEN


def test_only_approvals_take_arguments(system: InMemoryRunControl) -> None:
    # given an agent's question
    system.start(QUESTION)

    # when it, or a ticket that does not exist, is approved with arguments
    # then that is refused before they are looked at
    with pytest.raises(VerdictNotApplicableError):
        system.decide(EDITED, "{")
    with pytest.raises(TicketNotFoundError):
        system.decide(EDITED, "{", ticket_id="none")


def test_a_run_that_has_lost_its_pin_ends_however_it_is_approved() -> None:
    # given a run whose pinned specifications are gone
    system = gated()
    system.tables.specs.clear()

    # when it is approved with arguments that nobody can check any more
    decided = system.decide(EDITED, "{}")
    claimed = system.claim_one()
    system.advance(claimed)

    # then the decision stands, and the run ends without an effect
    assert decided.outcome is DecisionOutcome.ACCEPTED
    assert system.termination().error_reason == "PIN_LOST"
    assert system.tables.outbox == []
