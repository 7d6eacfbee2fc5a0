"""The invariants of run control hold at every commit, in any order of operations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.chassis.errors import DomainError
from services.runcontrol.core.commands import (
    AckCommand,
    CancelRunCommand,
    CancelWakeCommand,
    Command,
    CommandRefusal,
    CommandResult,
    FetchedMessage,
    StartRunCommand,
    SuspendCommand,
)
from services.runcontrol.core.errors import FencedError, NoOpenRunError
from services.runcontrol.core.events import TextDelta, ToolCallDispatched
from services.runcontrol.core.exchange import (
    Ticket,
    TicketKind,
    TicketState,
    VerdictKind,
    WakeStatus,
)
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import (
    InputDisposition,
    InputMode,
    InputState,
    Phase,
    Priority,
    RunState,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.submission import BusyPolicy, StartedBy
from services.runcontrol.core.tickets import DecisionOutcome
from services.runcontrol.core.waking import FetchRequest
from tests.support.runcontrol_invariants import check
from tests.unit.runcontrol.in_memory_runcontrol import (
    ASK_TOOL,
    HASTY_TOOL,
    QUESTION,
    SEND,
    InMemoryRunControl,
    now,
)

pytestmark = pytest.mark.slow

CALLS = st.lists(
    st.sampled_from(
        [
            (ASK_TOOL, '{"body": "hi"}'),
            (HASTY_TOOL, '{"body": "hi"}'),
            SEND,
            ("pool_wait", '{"pool_id": "room"}'),
            ("pool_wait", "{}"),
            QUESTION,
            ("start_run", '{"agent_id": "helper", "input": "go"}'),
            ("never", "{}"),
            ("unknown", "nonsense"),
        ]
    ),
    max_size=3,
)
THREADS = st.sampled_from(["t1", "t2"])
PICK = st.integers(0, 100)
# An interrupt leaves little to do for the rules after it.
MODES = [*InputMode, *(3 * [InputMode.LIVE_THEN_QUEUE, InputMode.RESUME_OPEN_RUN])]
VERDICTS = [*(3 * [VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED]), *VerdictKind]
EDITED = '{"body": "as the approver wants it"}'


class RunControlMachine(RuleBasedStateMachine):
    """Calls of callers, of current and stale owners and of the pool, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.system = self.new_system()
        self.claims: list[Claim] = []
        self.fences: dict[str, int] = {}
        self.fetches: dict[str, FetchRequest] = {}
        self.agents: dict[str, str] = {}

    def new_system(self) -> InMemoryRunControl:
        return InMemoryRunControl()

    @initialize(calls=CALLS, thread=THREADS, asks=st.sampled_from([[], [ASK_TOOL], [HASTY_TOOL]]))
    def submit_a_run_with_calls(
        self, calls: list[tuple[str, str]], thread: str, asks: list[str]
    ) -> None:
        """Begin with a run whose model has asked for calls: most faults need one."""
        calls = [*((tool_id, '{"body": "hi"}') for tool_id in asks), *calls]
        self.claims.append(self.system.in_pool(*calls, thread_id=thread))
        self.fences[thread] = self.claims[-1].fence

    def pick(self, found: list[Any], number: int) -> Any:
        return found[number % len(found)]

    @rule(
        thread=THREADS,
        pool=st.sampled_from(["", "room"]),
        priority=st.sampled_from(list(Priority)),
        deadline_s=st.sampled_from([5.0, 86_400.0]),
    )
    def submit(self, thread: str, pool: str, priority: Priority, deadline_s: float) -> None:
        self.system.submit(thread_id=thread, pool=pool, priority=priority, deadline_s=deadline_s)

    @precondition(lambda self: self.idle_threads())
    @rule(limit=st.integers(1, 2))
    def claim_some(self, limit: int) -> None:
        self.claim(limit)

    def claim(self, limit: int) -> None:
        for claimed in self.system.claim(limit):
            key = claimed.run.thread_id
            assert claimed.fence > self.fences.get(key, 0), "I2: a fence did not rise"
            self.fences[key] = claimed.fence
            self.claims.append(claimed)

    def idle_threads(self) -> bool:
        return any(t.ready_at is not None for t in self.system.tables.threads.values())

    def owned(self) -> list[Claim]:
        leases = self.system.tables.leases.values()
        live = {(lease.run_id, lease.fence) for lease in leases}
        return [c for c in self.claims if (c.run.run_id, c.fence) in live]

    @precondition(lambda self: self.owned())
    @rule(number=PICK, calls=CALLS)
    def go(self, number: int, calls: list[tuple[str, str]]) -> None:
        """An owner takes the next action of its run."""
        self.act(self.pick(self.owned(), number), calls, "go")

    @precondition(lambda self: self.owned())
    @rule(number=PICK, calls=CALLS)
    def run_to_rest(self, number: int, calls: list[tuple[str, str]]) -> None:
        """An owner takes actions until its run parks or ends."""
        claimed = self.pick(self.owned(), number)
        for asked in (calls, calls, [], []):
            if claimed in self.owned():
                self.act(claimed, asked, "go")
                check(self.system.tables)

    @precondition(lambda self: self.claims)
    @rule(number=PICK, calls=CALLS, action=st.sampled_from(["fail", "back", "delta"]))
    def own(self, number: int, calls: list[tuple[str, str]], action: str) -> None:
        """An owner writes; one that has lost its run is fenced and changes nothing."""
        claimed = self.pick(self.claims, number)
        run = self.system.run(claimed.run.run_id)
        lease = self.system.tables.leases.get(("default", run.thread_id))
        owns = lease is not None and (lease.fence, lease.run_id) == (claimed.fence, run.run_id)
        before = self.system.tables
        try:
            self.act(claimed, calls, action)
        except FencedError:
            assert not owns
            assert self.system.tables is before
        else:
            assert owns

    def act(self, claimed: Claim, calls: list[tuple[str, str]], action: str) -> None:
        sent_before = self.sent()
        self.take_action(claimed, calls, action)
        new = self.sent()[len(sent_before) :]
        assert not self.system.catalogs.denied.intersection(new), "I8: started what is denied"

    def sent(self) -> list[str]:
        """The tools of the calls that were started, in order."""
        tools = {call.call_id: call.tool_id for call in self.system.tables.calls.values()}
        events = [e.kind for e in self.system.tables.events.values()]
        return [tools[k.call_id] for k in events if isinstance(k, ToolCallDispatched)]

    def take_action(self, claimed: Claim, calls: list[tuple[str, str]], action: str) -> None:
        execution = self.system.execution
        run = self.system.run(claimed.run.run_id)
        if action == "fail":
            kind = list(RetryClass)[len(calls)]
            now(execution.fail(claimed, Failure(kind, "BROKEN", "it broke")))
        elif action == "back":
            now(execution.hand_back(claimed))
        elif action == "delta":
            now(execution.record(claimed, (TextDelta("x"),)))
        elif claimed.run.run_id in self.fetches:
            request = self.fetches[claimed.run.run_id]
            got = tuple(FetchedMessage(i, "token", "{}") for i in request.message_ids)
            now(execution.take_wake(claimed, request, got, "trace"))
            del self.fetches[claimed.run.run_id]
        elif run.phase is Phase.INFER and run.state is RunState.RUNNING:
            self.follow(claimed, self.system.answer(claimed, *calls))
        else:
            self.follow(claimed, self.system.advance(claimed))

    def follow(self, claimed: Claim, following: object) -> None:
        if isinstance(following, FetchRequest):
            self.fetches[claimed.run.run_id] = following

    @precondition(lambda self: self.system.tables.leases)
    @rule()
    def crash(self) -> None:
        """The server is killed and started again."""
        self.fetches.clear()
        now(self.system.execution.reclaim_all())

    @precondition(lambda self: self.system.tables.runs)
    @rule()
    def sweep(self) -> None:
        now(self.system.execution.reclaim_lapsed())
        now(self.system.execution.expire_due())
        now(self.system.execution.expire_tickets())

    @precondition(lambda self: self.system.tables.leases)
    @rule()
    def renew(self) -> None:
        leases = self.system.tables.leases.values()
        held = frozenset((each.tenant, each.thread_id, each.fence) for each in leases)
        assert len(now(self.system.execution.renew(held))) == len(held)

    @precondition(lambda self: self.system.tables.runs)
    @rule(number=PICK, by=st.sampled_from(["run_id", "dispatch_id", "thread_id"]))
    def cancel(self, number: int, by: str) -> None:
        run = self.pick(list(self.system.tables.runs.values()), number)
        target = {by: getattr(run, by)} if getattr(run, by) else {"run_id": run.run_id}
        self.system.cancel(reason="enough", **target)

    @precondition(lambda self: self.system.tables.tickets)
    @rule(number=PICK, kind=st.sampled_from(VERDICTS), decision=st.integers(1, 3))
    def decide(self, number: int, kind: VerdictKind, decision: int) -> None:
        ticket = self.pick(list(self.system.tables.tickets.values()), number)
        before = self.system.tables
        try:
            text = EDITED if kind is VerdictKind.APPROVE_EDITED else "so"
            self.system.decide(kind, text, f"d{decision}", ticket_id=ticket.ticket_id)
        except DomainError:
            assert self.system.tables == before

    def open_approvals(self) -> list[Ticket]:
        kind, state = TicketKind.APPROVAL, TicketState.OPEN
        tickets = self.system.tables.tickets.values()
        return [each for each in tickets if (each.kind, each.state) == (kind, state)]

    @precondition(lambda self: self.open_approvals())
    @rule(
        number=PICK,
        kind=st.sampled_from([VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED]),
        waits_s=st.sampled_from([0.0, 0.0, 70.0]),
    )
    def approve(self, number: int, kind: VerdictKind, waits_s: float) -> None:
        """A call is approved, in time or not, and its run goes on."""
        ticket = self.pick(self.open_approvals(), number)
        self.system.clock.advance(waits_s)
        text = EDITED if kind is VerdictKind.APPROVE_EDITED else ""
        decided = self.system.decide(kind, text, "go", ticket_id=ticket.ticket_id)
        late = ticket.expires_at is not None and ticket.expires_at <= self.system.clock.now()
        expected = DecisionOutcome.STALE if late else DecisionOutcome.ACCEPTED
        assert decided.outcome is expected, "a decision after its time"
        self.claim(2)
        for claimed in self.owned():
            if claimed.run.run_id == ticket.run_id:
                self.act(claimed, [], "go")

    @rule(denied=st.sampled_from([(), (), (ASK_TOOL,), ("pool_send", ASK_TOOL, HASTY_TOOL)]))
    def registry(self, denied: tuple[str, ...]) -> None:
        """A newer registry version denies some tools, or none."""
        self.system.catalogs.denied = set(denied)

    @precondition(lambda self: self.system.tables.runs)
    @rule(
        number=PICK,
        mode=st.sampled_from(MODES),
        by=st.sampled_from(["run_id", "thread_id"]),
        agent=st.sampled_from(["", "other"]),
        void=st.booleans(),
    )
    def inject(self, number: int, mode: InputMode, by: str, agent: str, void: bool) -> None:
        """Something is said to a run or a thread, in any state."""
        run = self.pick(list(self.system.tables.runs.values()), number)
        target = {by: getattr(run, by), "agent_id": "" if by == "run_id" else agent}
        before = self.system.tables
        try:
            said = self.system.inject(mode, f"text {number}", void_tickets=void, **target)
        except NoOpenRunError:
            assert mode is InputMode.RESUME_OPEN_RUN
            assert self.system.tables is before
        else:
            wanted = run.agent_id if by == "run_id" else agent
            self.agents[said.input_id] = wanted or said.agent_id

    @precondition(lambda self: self.system.tables.threads)
    @rule(number=PICK, text=st.sampled_from(["", "stop it"]), submits=st.booleans())
    def interrupt(self, number: int, text: str, submits: bool) -> None:
        thread = self.pick(list(self.system.tables.threads.values()), number)
        if submits:
            interrupts = BusyPolicy.INTERRUPT
            self.system.submit(thread_id=thread.thread_id, busy_policy=interrupts)
        else:
            self.system.interrupt(thread.thread_id, text)
        found = self.system.tables.threads[thread.tenant, thread.thread_id]
        assert found.epoch == thread.epoch + 1

    @precondition(lambda self: self.system.tables.inputs)
    @rule(number=PICK, revision=st.integers(1, 2), retracts=st.booleans())
    def revise(self, number: int, revision: int, retracts: bool) -> None:
        """Somebody edits or takes back input, read or not, at a revision that may be old."""
        said = self.pick(list(self.system.tables.inputs.values()), number)
        pending = said.state is InputState.PENDING and said.revision == revision
        try:
            if retracts:
                self.system.retract(said.input_id, revision)
            else:
                self.system.edit(said.input_id, revision)
        except DomainError:
            assert not pending
        else:
            assert pending

    @rule()
    def list_inputs(self) -> None:
        for _, thread_id in self.system.tables.threads:
            page = self.system.pending(thread_id)
            assert all(each.state is InputState.PENDING for each in page.inputs)

    @invariant()
    def input_is_read_by_the_agent_that_it_was_for(self) -> None:
        for input_id, agent_id in self.agents.items():
            said = self.system.input(input_id)
            queued = said.disposition is InputDisposition.QUEUED
            run = self.system.run(said.run_id)
            assert run.agent_id == agent_id or not queued

    @precondition(lambda self: self.system.tables.outbox)
    @rule(number=st.integers(-3, 100), refused=st.sampled_from([False, False, True]))
    def answered(self, number: int, refused: bool) -> None:
        """A command is carried out, or refused; that may happen twice."""
        command: Command = self.pick(self.system.tables.outbox, number).command
        if isinstance(command, StartRunCommand) and not refused:
            self.start(command)
        if isinstance(command, CancelRunCommand) and self.is_there(command.child_run_id):
            self.system.cancel(run_id=command.child_run_id)
        registered = isinstance(command, SuspendCommand | AckCommand | CancelWakeCommand)
        answer = CommandResult("" if registered else "{}", "c1")
        self.system.settle(command, CommandRefusal("NO", "never") if refused else answer)

    def start(self, command: StartRunCommand) -> None:
        if not self.is_there(command.child_run_id):
            ids = (command.child_run_id, command.run_id, command.call_id)
            started_by = StartedBy(*ids, command.depth)
            self.system.submit(deadline_s=max(1.0, command.deadline_s), started_by=started_by)

    def is_there(self, run_id: str) -> bool:
        return ("default", run_id) in self.system.tables.runs

    @precondition(lambda self: self.system.tables.runs)
    @rule(
        number=PICK,
        messages=st.sampled_from([(), ("msg-1",), ("msg-1", "msg-2")]),
        status=st.sampled_from(list(WakeStatus)),
        after=st.sampled_from(["", "c2"]),
    )
    def wake(self, number: int, messages: tuple[str, ...], status: WakeStatus, after: str) -> None:
        """The pool ends a wait, known or unknown, in any state of the run."""
        run = self.pick(list(self.system.tables.runs.values()), number)
        waits = {
            (c.condition_id, c.run_id) for c in self.system.tables.calls.values() if c.condition_id
        }
        early = (f"{run.run_id}.{run.step + 1}.0", run.run_id)
        condition, run_id = self.pick([*sorted(waits), ("none", run.run_id), early], number)
        self.system.wake(condition, run_id, status=status, message_ids=messages, after=after)

    @rule(seconds=st.sampled_from([0.3, 6.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.system.clock.advance(seconds)

    @invariant()
    def holds(self) -> None:
        check(self.system.tables)


class TestRunControl(RunControlMachine.TestCase):  # type: ignore[name-defined]  # made at run time
    settings = settings(stateful_step_count=60)
