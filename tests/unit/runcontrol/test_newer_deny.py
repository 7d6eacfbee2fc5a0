"""A newer deny in the registry: what has not started does not start any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import Approval, EffectClass
from services.runcontrol.core.commands import CommandResult
from services.runcontrol.core.events import RunWoken, TicketVoided, ToolCallSettled
from services.runcontrol.core.exchange import CallState, TicketState, VerdictKind
from services.runcontrol.core.forbidding import in_force
from services.runcontrol.core.stepping import Infer, Parked
from tests.unit.runcontrol.in_memory_runcontrol import (
    ASK_TOOL,
    GUARDED_SEND,
    SEND,
    FixedCatalogs,
    InMemoryRunControl,
    agent,
    tool,
)
from tests.unit.runcontrol.worker_desk import ONCE, OTHER, TWICE, desk


def says(tool_id: str) -> str:
    return f"denied by policy: registry version 7 forbids {tool_id}"


def test_a_call_of_a_tool_that_is_denied_by_now_fails(system: InMemoryRunControl) -> None:
    # given a run, and a tool that is denied after the run was submitted
    claimed = system.claim_new()
    system.advance(claimed)
    system.catalogs.denied = {"pool_send"}

    # when its model calls the tool
    following = system.answer(claimed, SEND)

    # then the call fails, and its event names the version that denies it
    assert following == Infer(2)
    assert system.tables.outbox == []
    assert system.last_event(ToolCallSettled).result == says("pool_send")
    assert system.last_event(ToolCallSettled).state is CallState.FAILED


@pytest.mark.parametrize("denied", ["before the decision", "after the decision"])
@pytest.mark.parametrize("kind", [VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED])
def test_an_approved_call_does_not_start_once_its_tool_is_denied(
    kind: VerdictKind, denied: str
) -> None:
    # given a run that waits for approval
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)

    # when the tool is denied before or after somebody approves the call, and the run goes on
    if denied == "before the decision":
        system.catalogs.denied = {ASK_TOOL}
    system.decide(kind, '{"body": "other", "pool_id": "room"}')
    system.catalogs.denied = {ASK_TOOL}
    following = system.advance(system.claim_one())

    # then nothing is sent, the ticket is void, and both events say why
    assert (following, system.tables.outbox) == (Infer(2), [])
    assert (system.ticket().state, system.ticket().void_reason) == (TicketState.VOID, "denied")
    assert system.last_event(TicketVoided).reason == "denied"
    assert system.last_event(ToolCallSettled).result == says(ASK_TOOL)


def test_what_starts_no_effect_counts_though_the_tool_is_denied() -> None:
    # given a run that waits for approval of a call whose tool is denied by now
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)
    system.catalogs.denied = {ASK_TOOL}

    # when a person answers in its place
    system.decide(VerdictKind.ANSWER, "it is done")
    system.advance(system.claim_one())

    # then the answer is the result
    assert (system.call().state, system.call().result) == (CallState.SUCCEEDED, "it is done")


def test_what_has_started_goes_on(system: InMemoryRunControl) -> None:
    # given a call that was sent to the pool
    system.start(SEND)

    # when its tool is denied, and it is answered
    system.catalogs.denied = {"pool_send"}
    system.settle(system.command(), CommandResult("{}"))
    system.advance(system.claim_one())

    # then it has its result
    assert system.call().state is CallState.SUCCEEDED


@pytest.mark.parametrize("effect", [*ONCE, *TWICE])
def test_no_worker_gets_a_call_that_is_denied(effect: EffectClass) -> None:
    # given a call that waits for a worker
    at = desk(effect)
    at.system.catalogs.denied = {"lookup"}

    # when a worker comes for it
    taken = at.take()

    # then it gets nothing, and the run goes on with the reason
    assert taken is None
    assert (at.call.state, at.call.result) == (CallState.FAILED, says("lookup"))
    assert at.system.last_event(RunWoken).cause == "tool_result"
    assert at.system.advance(at.system.claim_one()) == Infer(2)


def test_a_call_that_waits_for_a_worker_fails_when_its_run_goes_on() -> None:
    # given a run that waits for a worker and for an approval
    asking = tool(ASK_TOOL, approval=Approval.ASK)
    waiting = tool("lookup")
    system = InMemoryRunControl(agent(tools=(waiting, asking)))
    system.store.tables.served = {("default", "lookup", ""), ("default", ASK_TOOL, "")}
    system.start(("lookup", "{}"), (ASK_TOOL, "{}"))

    # when the first tool is denied, and the second call is denied by a person
    system.catalogs.denied = {"lookup"}
    system.decide(VerdictKind.DENY)
    following = system.advance(system.claim_one())

    # then the first call has failed too
    assert following == Infer(2)
    assert system.call(0).result == says("lookup")


@pytest.mark.parametrize("effect", ONCE)
def test_a_worker_that_awaits_go_is_stopped_by_a_deny(effect: EffectClass) -> None:
    # given a call that a worker was given
    at = desk(effect)
    ref = at.taken()

    # when its tool is denied before the worker accepts it
    at.system.catalogs.denied = {"lookup"}
    answer = at.accept(ref)

    # then the worker may not start it, and the call has failed
    assert not answer.is_owner
    assert (at.call.state, at.call.result) == (CallState.FAILED, says("lookup"))
    assert at.take(OTHER) is None


@pytest.mark.parametrize("effect", TWICE)
def test_a_worker_that_has_started_goes_on(effect: EffectClass) -> None:
    at = desk(effect)
    ref = at.taken()
    at.system.catalogs.denied = {"lookup"}
    assert at.accept(ref).is_owner


def test_an_attempt_after_a_lost_one_is_not_given_out() -> None:
    # given a call that a person says did not happen
    at = desk(EffectClass.AT_MOST_ONCE)
    at.accepted()
    at.pass_time(15.0)
    at.system.decide(VerdictKind.DID_NOT_HAPPEN)

    # when its tool is denied before the run goes on
    at.system.catalogs.denied = {"lookup"}
    following = at.system.advance(at.system.claim_one())

    # then it is not tried again
    assert following == Infer(2)
    assert at.call.result == says("lookup")


def test_without_a_snapshot_the_pinned_specifications_hold(system: InMemoryRunControl) -> None:
    # given a server that has no snapshot, and one that denies
    claimed = system.claim_new()
    system.advance(claimed)
    system.catalogs.denied = {"pool_send"}
    system.catalogs.arrived = False

    # when a model calls the tool
    # then it is sent
    assert system.answer(claimed, SEND) == Parked()


def test_only_what_is_denied_changes() -> None:
    # given pinned specifications, and a registry that denies one tool, and one denied before
    specs = agent()
    catalogs = FixedCatalogs({})
    catalogs.denied = {"pool_send", "never"}

    # when they are brought into force
    found = in_force(specs, catalogs)

    # then that tool alone differs
    changed = [tool.tool_id for tool in found.tools if tool not in specs.tools]
    assert changed == ["pool_send"]
    assert found.require("pool_send") == replace(specs.require("pool_send"), denied_by=7)
    assert in_force(specs, FixedCatalogs({})) is specs
