"""The pool's answers to commands: what each settles, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

from services.runcontrol.core.commands import (
    AckCommand,
    CommandRefusal,
    CommandResult,
    SuspendCommand,
)
from services.runcontrol.core.events import RunWoken
from services.runcontrol.core.exchange import CallState, VerdictKind
from services.runcontrol.core.model import RunState
from tests.unit.runcontrol.in_memory_runcontrol import GUARDED_SEND, SEND, InMemoryRunControl

REFUSED = CommandRefusal("NOT_A_MEMBER", "the run is no member")


def waiting(system: InMemoryRunControl) -> SuspendCommand:
    """A run that waits for a message, and the registration of its wait."""
    system.in_pool(("pool_wait", "{}"))
    command = system.command()
    assert isinstance(command, SuspendCommand)
    return command


def acknowledgement(of: SuspendCommand, call_id: str) -> AckCommand:
    return AckCommand(of.tenant, of.principal, of.run_id, call_id, of.pool_id, "m", "receipt")


def test_the_answer_to_an_acknowledgement_settles_no_wait(system: InMemoryRunControl) -> None:
    # given a run that waits, whose wait has acknowledged a message
    command = waiting(system)
    events = system.kinds()

    # when the pool answers the acknowledgement, or refuses it
    for outcome in (CommandResult("{}"), REFUSED):
        system.settle(acknowledgement(command, command.call_id), outcome)

    # then the run waits on
    assert system.call().state is CallState.SUSPENDED
    assert (system.run().state, system.kinds()) == (RunState.WAITING, events)


def test_the_answer_to_an_acknowledgement_of_no_call_changes_nothing(
    system: InMemoryRunControl,
) -> None:
    # given a run that waits
    command = waiting(system)
    before = system.tables.runs

    # when the pool answers an acknowledgement that belongs to no call
    system.settle(acknowledgement(command, ""), CommandResult("{}"))

    # then nothing changes
    assert system.tables.runs == before


def test_a_refusal_of_an_earlier_registration_leaves_the_wait(system: InMemoryRunControl) -> None:
    # given a run that waits under another condition than it first did
    command = waiting(system)
    earlier = replace(command, condition_id="earlier")

    # when the pool refuses the earlier registration, and then the current one
    system.settle(earlier, REFUSED)
    after_earlier = system.call().state
    system.settle(command, REFUSED)

    # then only the second fails the wait
    assert (after_earlier, system.call().state) == (CallState.SUSPENDED, CallState.FAILED)


def test_an_answer_wakes_a_run_that_waits_for_it(system: InMemoryRunControl) -> None:
    # given a run that has parked behind a message
    claimed = system.in_pool(SEND)
    assert system.run().state is RunState.WAITING

    # when the pool has taken the message
    system.settle(system.command(), CommandResult("{}"))

    # then the run is woken with the result
    woken = system.last_event(RunWoken)
    assert (woken.cause, woken.call_id) == ("tool_result", system.call().call_id)
    assert system.claim_one().run.run_id == claimed.run.run_id


def test_an_answer_wakes_no_run_that_executes(system: InMemoryRunControl) -> None:
    # given a run that waited for a message it sent and for a person, who has decided
    system.in_pool(SEND, GUARDED_SEND)
    sent = system.command()
    system.decide(VerdictKind.APPROVE)
    system.claim_one()
    woken = system.kinds().count("RunWoken")

    # when the pool has taken the message
    system.settle(sent, CommandResult("{}"))

    # then the call is settled, and no event says that the run was woken
    assert system.run().state is RunState.RUNNING
    assert system.call(-2).state is CallState.SUCCEEDED
    assert system.kinds().count("RunWoken") == woken


def test_only_a_join_makes_a_run_a_member(system: InMemoryRunControl) -> None:
    # given a member of one pool
    system.in_pool(SEND)

    # when another pool has taken a message of it
    system.settle(replace(system.command(), pool_id="elsewhere"), CommandResult("{}", "c9"))

    # then the run is a member of the first pool alone
    assert {each.pool_id for each in system.tables.memberships.values()} == {"room"}
