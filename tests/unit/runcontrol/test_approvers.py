"""Approvers: they decide for others, never for themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.caller import Caller, Principal, Role
from services.runcontrol.core.deciding import DecideCommand
from services.runcontrol.core.errors import OwnRunError
from services.runcontrol.core.exchange import TicketState, Verdict, VerdictKind
from services.runcontrol.core.submission import StartedBy
from services.runcontrol.core.tickets import Decided, DecisionOutcome
from tests.support.callers import LOCAL
from tests.unit.runcontrol.in_memory_runcontrol import GUARDED_SEND, InMemoryRunControl, now


def caller(name: str, *roles: Role, for_whom: str | None = None) -> Caller:
    principal = Principal("default", frozenset(roles), name, on_behalf_of=for_whom)
    return replace(LOCAL, principal=principal)


def decide(system: InMemoryRunControl, by: Caller, verdict: Verdict) -> Decided:
    command = DecideCommand("d", verdict, ticket_id=system.ticket().ticket_id)
    answer = now(system.decisions.decide(by, command))
    assert isinstance(answer, Decided)
    return answer


VERDICTS = [
    Verdict(VerdictKind.APPROVE),
    Verdict(VerdictKind.APPROVE_EDITED, '{"body": "b", "pool_id": "room"}'),
    Verdict(VerdictKind.APPROVE_EDITED, "no object"),
    Verdict(VerdictKind.DENY),
    Verdict(VerdictKind.ANSWER, "yes"),
    Verdict(VerdictKind.CANCEL_CALL),
    Verdict(VerdictKind.CANCEL_RUN),
    Verdict(VerdictKind.HAPPENED),
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda v: f"{v.kind.value} {v.text}".strip())
@pytest.mark.parametrize("started", ["submitted", "started by a run"])
def test_an_approver_decides_nothing_of_a_run_of_its_own(verdict: Verdict, started: str) -> None:
    # given a run that alice, "local" here, has submitted, or that such a run has started
    system = InMemoryRunControl()
    above = {"started_by": StartedBy("child", "r", "c", 1)} if started != "submitted" else {}
    system.start(GUARDED_SEND, **above)

    # when she decides as an approver
    with pytest.raises(OwnRunError) as refused:
        decide(system, caller("local", Role.APPROVER), verdict)

    # then that is refused, and the ticket stays open
    run_id = system.run().run_id
    assert refused.value.metadata == {"run_id": run_id, "submitted_by": "local"}
    assert system.ticket().state is TicketState.OPEN
    assert system.tables.decisions == {}


@pytest.mark.parametrize(
    "by",
    [
        caller("audrey", Role.APPROVER),
        caller("local", Role.APPROVER, Role.OPERATOR),
        caller("local", Role.OPERATOR),
        caller("local", Role.ADMIN),
        caller("local", Role.APPROVER, for_whom="audrey"),
    ],
    ids=["another approver", "also operator", "operator", "admin", "for somebody else"],
)
def test_others_decide(by: Caller) -> None:
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)
    decided = decide(system, by, Verdict(VerdictKind.APPROVE))
    assert decided.outcome is DecisionOutcome.ACCEPTED
    assert decided.ticket.winner is not None
    assert decided.ticket.winner.decided_by == by.principal.subject


def test_the_subject_counts_and_not_the_name() -> None:
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)
    with pytest.raises(OwnRunError):
        decide(
            system,
            caller("audrey", Role.APPROVER, for_whom="local"),
            Verdict(VerdictKind.APPROVE),
        )
