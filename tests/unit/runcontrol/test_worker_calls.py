"""Calls of workers: given, accepted, kept alive and reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.content.model import Approval, EffectClass, Role
from services.runcontrol.core.errors import ToolNotSupportedError
from services.runcontrol.core.events import (
    ToolCallAccepted,
    ToolCallDispatched,
    ToolCallProgress,
    ToolCallWithheld,
)
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.model import RunState, WaitingKind
from services.runcontrol.core.ports import Wanted
from services.runcontrol.core.schemas import schema_digest
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tool_workers import Accepted, Progress
from services.runcontrol.core.worker_calls import (
    CallRef,
    ResultOutcome,
    Succeeded,
)
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now
from tests.unit.runcontrol.worker_desk import (
    ONCE,
    OTHER,
    WORKER,
    desk,
)


def test_a_call_of_a_worker_parks_its_run_until_a_worker_has_done_it() -> None:
    # given a run that waits for a worker
    at = desk()
    assert at.system.run().state is RunState.WAITING
    (reason,) = at.system.run().waiting
    assert (reason.kind, reason.until) == (WaitingKind.TOOL, at.call.timeout_at)

    # when one takes the call, accepts it and reports
    taken = at.take()
    assert taken is not None
    facts = (taken.call.state, taken.agent_id, taken.principal, taken.tool_version)
    assert facts == (CallState.DISPATCHED, "helper", "local", "v1")
    assert at.accept() == Accepted(is_owner=True, awaits_go=True)
    assert at.call.state is CallState.ACCEPTED
    assert at.report(taken.ref, Succeeded("shipped")) is ResultOutcome.COMMITTED

    # then the run goes on with the result
    assert (at.call.state, at.call.result) == (CallState.SUCCEEDED, "shipped")
    claimed = at.system.claim_one()
    at.system.advance(claimed)
    assert at.system.prompt()[-1].role is Role.TOOL
    assert at.system.last_event(ToolCallDispatched).attempt == 1
    assert at.system.last_event(ToolCallAccepted).worker_id == "clerk"


@pytest.mark.parametrize("effect", EffectClass)
def test_only_a_call_that_must_not_run_twice_awaits_go(effect: EffectClass) -> None:
    at = desk(effect)
    assert at.accept(at.taken()).awaits_go is (effect in ONCE)


def test_a_call_is_given_once() -> None:
    at = desk()
    keys = now(at.system.workers.waiting("default", Wanted("lookup"), 10))
    assert now(at.system.workers.take(keys[0], WORKER)) is not None
    assert now(at.system.workers.take(keys[0], OTHER)) is None


def test_a_call_of_a_run_that_is_gone_is_not_given() -> None:
    at = desk()
    assert now(at.system.workers.take(("default", "nowhere", "r", "c"), WORKER)) is None
    thread_id = at.system.thread().thread_id
    assert now(at.system.workers.take(("default", thread_id, "r", "c"), WORKER)) is None


def test_a_label_is_part_of_what_is_asked_for() -> None:
    at = desk(label="eu")
    assert now(at.system.workers.waiting("default", Wanted("lookup"), 10)) == []
    assert at.take() is not None


def test_a_tool_that_was_never_served_is_refused_at_submit() -> None:
    tool = ToolSpec("t", "", "{}", EffectClass.PURE, Approval.ALLOW, None, label="eu")
    system = InMemoryRunControl(agent(tools=(tool,)))
    now(system.workers.begin_session("default", WORKER, ["t"], ("us",)))
    with pytest.raises(ToolNotSupportedError, match="with label 'eu' has ever served") as refused:
        system.submit()
    assert refused.value.metadata["label"] == "eu"
    now(system.workers.begin_session("default", WORKER, ["t"], ("eu",)))
    system.submit()


def test_sessions_of_a_start_are_numbered() -> None:
    workers = InMemoryRunControl().workers
    numbers = [
        now(workers.begin_session("default", worker, [], ())) for worker in (WORKER, WORKER, OTHER)
    ]
    assert numbers == [1, 2, 1]
    assert now(workers.newest_session("default", WORKER)) == 2


@pytest.mark.parametrize("effect", EffectClass)
def test_a_call_that_is_not_accepted_in_time_can_be_taken_again(effect: EffectClass) -> None:
    # given a call that was given to a worker
    at = desk(effect)
    first = at.taken()

    # when that is silent for 2 s
    assert at.pass_time(1.999) == 0
    assert at.pass_time(0.001) == 1

    # then another one may have it, and the first is fenced
    assert at.call.state is CallState.READY
    assert at.take(OTHER) is not None
    assert (at.call.attempt, at.call.tries) == (2, 0)
    assert at.accept(first).is_owner is False
    assert at.report(first, Succeeded("late")) is ResultOutcome.FENCED


def test_an_acceptance_may_be_said_twice_but_only_by_the_worker() -> None:
    at = desk()
    ref = at.taken()
    assert at.accept(ref, OTHER).is_owner is False
    assert at.accept(ref).is_owner
    assert at.accept(ref).is_owner
    assert at.call.tries == 1
    assert at.accept(CallRef("none", 1, 1)).is_owner is False


def test_signs_of_life_extend_the_lease_and_progress_becomes_an_event() -> None:
    # given an accepted call, 10 s later
    at = desk()
    ref = at.accepted()
    at.system.clock.advance(10.0)

    # when its worker sends signs of life with a note, and the same again
    until = at.system.clock.now() + timedelta(seconds=15)
    for _ in range(2):
        said = now(at.system.workers.extend("default", WORKER, [Progress(ref, 1, "half")]))
        assert said == [(ref, until)]

    # then its lease holds, and the note is there once
    assert at.pass_time(14.999) == 0
    notes = [
        e.kind for e in at.system.tables.events.values() if isinstance(e.kind, ToolCallProgress)
    ]
    assert notes == [ToolCallProgress(ref.call_id, 1, "half")]
    assert now(at.system.workers.extend("default", OTHER, [Progress(ref)])) == [(ref, None)]


def test_progress_of_a_call_that_has_ended_meanwhile_is_no_event() -> None:
    at = desk()
    ref = at.accepted()
    at.report(ref, Succeeded("done"))
    now(
        at.system.store.write(
            lambda tx: at.system.workers._progress("default", WORKER, Progress(ref, 1, "x"), tx)
        )
    )
    kinds = [type(event.kind) for event in at.system.tables.events.values()]
    assert ToolCallProgress not in kinds


def test_a_call_is_withheld_from_a_worker_of_another_schema_once() -> None:
    # given a call that waits
    at = desk(timeout_s=2.5)
    (waiting,) = now(at.system.workers.longest_ready("default", "lookup"))

    # when a worker does not get it, for the second time too
    for _ in range(2):
        tool = now(at.system.workers.withhold(waiting, WORKER))
        assert tool is not None
        assert (tool.tool_id, tool.version) == ("lookup", "v1")

    # then the run says so once, and the model is told when nobody else comes
    kinds = [event.kind for event in at.system.tables.events.values()]
    withheld = [kind for kind in kinds if isinstance(kind, ToolCallWithheld)]
    assert withheld == [ToolCallWithheld(at.call.call_id, "clerk", "v1")]
    assert at.call.withheld_from == "clerk"
    assert at.pass_time(2.5) == 1
    assert at.call.result == (
        "no worker took the call within 2.5 s: clerk serves lookup for another schema"
    )
    assert at.call.withheld_from == ""


def test_a_call_that_a_worker_has_is_not_withheld() -> None:
    at = desk()
    (waiting,) = now(at.system.workers.longest_ready("default", "lookup"))
    at.taken()
    assert now(at.system.workers.withhold(waiting, WORKER)) is None
    gone = replace(waiting, run_id="none")
    assert now(at.system.workers.withhold(gone, WORKER)) is None


@pytest.mark.parametrize(("digest", "found"), [("", 1), (schema_digest("{}"), 1), ("other", 0)])
def test_a_call_is_for_workers_of_its_schema_or_of_any(digest: str, found: int) -> None:
    at = desk()
    wanted = Wanted("lookup", schema_digest=digest)
    assert len(now(at.system.workers.waiting("default", wanted, 10))) == found
