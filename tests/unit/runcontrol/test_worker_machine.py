"""The invariants hold too while workers take calls, lose them, come late and disagree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.content.model import Approval, EffectClass
from services.runcontrol.core.events import ProbeOutcome, ToolCallAccepted, ToolCallProbed
from services.runcontrol.core.exchange import (
    Call,
    CallState,
    TicketKind,
    TicketState,
    VerdictKind,
)
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import Phase, RunState
from services.runcontrol.core.ports import Wanted
from services.runcontrol.core.specs import Specs, ToolSpec
from services.runcontrol.core.tool_workers import Progress, TakenCall
from services.runcontrol.core.worker_calls import (
    CallRef,
    Cancelled,
    Effect,
    Failed,
    ResultOutcome,
    Succeeded,
    Worker,
    is_attempt,
)
from tests.support.callers import LOCAL
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import (
    QUESTION,
    TOOLS,
    InMemoryRunControl,
    agent,
    now,
)
from tests.unit.runcontrol.test_machine import PICK, THREADS, RunControlMachine
from tests.unit.runcontrol.worker_desk import ONCE, OTHER, WORKER

pytestmark = pytest.mark.slow

# A tool of each effect class; one of them asks first.
SERVED = (
    ToolSpec("read", "", "{}", EffectClass.PURE, Approval.ALLOW, None, "v1"),
    ToolSpec("file", "", "{}", EffectClass.IDEMPOTENT, Approval.ASK, None, "v1"),
    ToolSpec("order", "", "{}", EffectClass.RECONCILABLE, Approval.ALLOW, None, "v1"),
    ToolSpec("pay", "", "{}", EffectClass.AT_MOST_ONCE, Approval.ALLOW, None, "v1", timeout_s=20.0),
)
CALLS = st.lists(
    st.sampled_from([*((tool.tool_id, "{}") for tool in SERVED), ("pay", "{}"), QUESTION]),
    min_size=1,
    max_size=3,
)
OUTCOMES = st.sampled_from(
    [
        Succeeded("shipped"),
        Failed("BROKEN", "it broke"),
        Failed("BUSY", "not now", retryable=True),
        *map(Cancelled, Effect),
    ]
)
WORKERS = st.sampled_from([WORKER, OTHER])
TO_TOOL = [VerdictKind.ANSWER, VerdictKind.PASS_TO_TOOL, VerdictKind.CANCEL_CALL]
SAID = [VerdictKind.HAPPENED, VerdictKind.DID_NOT_HAPPEN, VerdictKind.ABANDON]


# What lets a call be executed once more, by the kind of its ticket.
AGAIN = {
    TicketKind.APPROVAL: (),
    TicketKind.QUESTION: (),
    TicketKind.RECONCILE: (VerdictKind.DID_NOT_HAPPEN,),
    TicketKind.TOOL_INPUT: (VerdictKind.ANSWER, VerdictKind.PASS_TO_TOOL),
}


def served_agent() -> Specs:
    return agent(tools=(*TOOLS, *SERVED))


class WorkerMachine(RunControlMachine):
    """Two starts of a worker beside callers, owners and the pool."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[Worker, TakenCall]] = []
        for worker in (WORKER, OTHER):
            ids = [tool.tool_id for tool in SERVED]
            now(self.system.workers.begin_session("default", worker, ids, ()))

    def new_system(self) -> InMemoryRunControl:
        return InMemoryRunControl(served_agent())

    @initialize(
        calls=CALLS,
        thread=THREADS,
        kind=st.sampled_from(SAID),
        lost=st.booleans(),
    )
    def submit_a_run_with_calls(
        self,
        calls: list[tuple[str, str]],
        thread: str,
        kind: VerdictKind = VerdictKind.HAPPENED,
        lost: bool = False,
    ) -> None:
        """Begin with calls that a worker executes, or has lost: most faults need one."""
        super().submit_a_run_with_calls(calls, thread, [])
        self.take(WORKER, accepts=True)
        check(self.system.tables)
        if lost and self.taken:
            self.lose(0, kind, 2.0)

    def thinking(self) -> list[Claim]:
        runs = [(claim, self.system.run(claim.run.run_id)) for claim in self.owned()]
        infers = (Phase.INFER, RunState.RUNNING)
        return [claim for claim, run in runs if (run.phase, run.state) == infers]

    @precondition(lambda self: self.thinking())
    @rule(number=PICK, calls=CALLS)
    def ask_workers(self, number: int, calls: list[tuple[str, str]]) -> None:
        """A model asks for calls of workers, and its run goes on until it waits for them."""
        claimed = self.pick(self.thinking(), number)
        self.follow(claimed, self.system.answer(claimed, *calls))
        if claimed in self.owned():
            self.follow(claimed, self.system.advance(claimed))

    def offered(self) -> bool:
        return any(
            call.state is CallState.READY and call.due_at is not None
            for call in self.system.tables.calls.values()
        )

    @precondition(lambda self: self.offered())
    @rule(worker=WORKERS, accepts=st.booleans())
    def take(self, worker: Worker, accepts: bool) -> None:
        """A worker is given every call that waits, and accepts them or says nothing."""
        for tool in SERVED:
            for key in now(self.system.workers.waiting("default", Wanted(tool.tool_id), 10)):
                found = now(self.system.workers.take(key, worker))
                assert found is not None
                self.taken.append((worker, found))
                if accepts:
                    now(self.system.workers.accept("default", worker, found.ref))

    @precondition(lambda self: self.taken)
    @rule(number=PICK, worker=WORKERS)
    def accept(self, number: int, worker: Worker) -> None:
        """A worker accepts an attempt, its own or another's, early or late."""
        _, found = self.pick(self.taken, number)
        call = self.system.tables.calls["default", found.call.call_id]
        mine = is_attempt(call, found.ref) and call.worker_instance == worker.instance_id
        held = call.state in (CallState.DISPATCHED, CallState.ACCEPTED)
        accepted = now(self.system.workers.accept("default", worker, found.ref))
        assert accepted.is_owner == (mine and held)

    @precondition(lambda self: self.taken)
    @rule(worker=WORKERS, note=st.integers(0, 2))
    def beat(self, worker: Worker, note: int) -> None:
        """A worker gives signs of life for everything that it was ever given."""
        mine = [found for by, found in self.taken if by == worker]
        calls = [Progress(found.ref, note, "half done") for found in mine]
        for ref, until in now(self.system.workers.extend("default", worker, calls)):
            call = self.system.tables.calls["default", ref.call_id]
            owned = is_attempt(call, ref) and call.worker_instance == worker.instance_id
            owned = owned and call.state is CallState.ACCEPTED
            assert (until is not None) == owned

    @precondition(lambda self: self.taken)
    @rule(number=PICK, outcome=OUTCOMES)
    def report(self, number: int, outcome: Succeeded | Failed | Cancelled) -> None:
        """A worker reports an attempt, the newest or an older one, late or once more."""
        _, found = self.pick(self.taken, number)
        before = self.system.tables
        call = before.calls["default", found.call.call_id]
        current = is_attempt(call, found.ref)
        answer = now(self.system.workers.report(LOCAL, found.ref, outcome))
        if not current:
            assert answer is ResultOutcome.FENCED
        else:
            said = call.settled or call.asked == found.ref.attempt
            assert answer is (ResultOutcome.DUPLICATE if said else ResultOutcome.COMMITTED)
        if answer is not ResultOutcome.COMMITTED:
            # It is kept with its call at most.
            assert self.system.tables.events == before.events
            after = self.system.tables.calls["default", found.call.call_id]
            assert replace(after, late_results=call.late_results) == call

    @precondition(lambda self: self.taken)
    @rule(number=PICK, sealed=st.sampled_from([b"", b"half done"]))
    def ask(self, number: int, sealed: bytes) -> None:
        """A tool asks a person, in its newest attempt or an older one, late or once more."""
        worker, found = self.pick(self.taken, number)
        before = self.system.tables
        call = before.calls["default", found.call.call_id]
        current = is_attempt(call, found.ref)
        given = (worker, found.ref, "how much?", sealed)
        answer = now(self.system.workers.ask("default", *given))
        if not current:
            assert answer is ResultOutcome.FENCED
        elif call.settled or call.asked == found.ref.attempt:
            assert answer is ResultOutcome.DUPLICATE
        if answer is ResultOutcome.COMMITTED:
            asked = self.system.tables.calls["default", call.call_id]
            assert (asked.state, asked.due_at) == (CallState.SUSPENDED, None)
        else:
            assert self.system.tables.calls == before.calls

    def tools_that_ask(self) -> list[str]:
        tickets = self.system.tables.tickets.values()
        return [
            each.ticket_id
            for each in tickets
            if (each.kind, each.state) == (TicketKind.TOOL_INPUT, TicketState.OPEN)
        ]

    @precondition(lambda self: self.tools_that_ask())
    @rule(number=PICK, kind=st.sampled_from(TO_TOOL))
    def answer_tool(self, number: int, kind: VerdictKind) -> None:
        """A person answers a tool, or ends its call."""
        named = f"a{len(self.system.tables.decisions)}"
        ticket_id = self.pick(self.tools_that_ask(), number)
        self.system.decide(kind, "17", named, ticket_id=ticket_id)

    @precondition(lambda self: self.taken)
    @rule(worker=WORKERS)
    def leave(self, worker: Worker) -> None:
        """A worker leaves: what it has not accepted is given to others."""
        refs = [found.ref for by, found in self.taken if by == worker]
        now(self.system.workers.lose_unaccepted("default", worker, refs))

    @precondition(lambda self: self.taken)
    @rule(seconds=st.sampled_from([0.0, 2.5, 16.0]))
    def sweep_calls(self, seconds: float) -> None:
        """Workers are silent: for less than a lease, or for longer."""
        self.system.clock.advance(seconds)
        now(self.system.workers.sweep())

    def lost(self) -> list[Call]:
        return [call for call in self.system.tables.calls.values() if call.probe_until is not None]

    @precondition(lambda self: self.lost())
    @rule(number=PICK, effect=st.sampled_from(list(Effect)))
    def answer_a_probe(self, number: int, effect: Effect) -> None:
        """A worker says what has become of a lost call."""
        call = self.pick(self.lost(), number)
        ref = CallRef(call.call_id, call.attempt, call.fence)
        now(self.system.workers.take_finding("default", ref, effect, "shipped"))

    def asked(self) -> list[str]:
        calls = [call for call in self.system.tables.calls.values() if call.reconciling]
        live = {call.call_id for call in calls}
        tickets = self.system.tables.tickets.values()
        return [
            each.ticket_id
            for each in tickets
            if each.call_id in live and each.kind is TicketKind.RECONCILE
        ]

    @precondition(lambda self: self.asked())
    @rule(number=PICK, kind=st.sampled_from(SAID))
    def reconcile(self, number: int, kind: VerdictKind) -> None:
        """A person says what has become of a lost call."""
        named = f"r{len(self.system.tables.decisions)}"
        ticket_id = self.pick(self.asked(), number)
        self.system.decide(kind, "so", named, ticket_id=ticket_id)

    @precondition(lambda self: self.taken)
    @rule(number=PICK, kind=st.sampled_from(SAID), seconds=st.sampled_from([0.0, 2.0]))
    def lose(self, number: int, kind: VerdictKind, seconds: float) -> None:
        """A worker is lost, a person says what became of its calls, and another worker comes."""
        self.sweep_calls(16.0)
        check(self.system.tables)
        if self.asked():
            self.reconcile(number, kind)
        self.system.clock.advance(seconds)
        self.take(OTHER, accepts=True)

    @invariant()
    def an_effect_happens_once_unless_somebody_says_that_it_did_not(self) -> None:
        """I9, of calls whose second execution is a second effect."""
        t = self.system.tables
        kinds = [event.kind for event in t.events.values()]
        executed = Counter(kind.call_id for kind in kinds if isinstance(kind, ToolCallAccepted))
        repeated = Counter(
            ticket.call_id
            for ticket in t.tickets.values()
            if ticket.winner and ticket.winner.verdict.kind in AGAIN[ticket.kind]
        )
        repeated += Counter(
            kind.call_id
            for kind in kinds
            if isinstance(kind, ToolCallProbed) and kind.outcome is ProbeOutcome.DID_NOT_HAPPEN
        )
        for call in t.calls.values():
            if call.effect_class in ONCE:
                assert executed[call.call_id] <= 1 + repeated[call.call_id], "I9"


class TestWorkers(WorkerMachine.TestCase):  # type: ignore[name-defined]  # made at run time
    settings = settings(stateful_step_count=60)
