"""What holds of run control's state at every commit, checked on the memory store's tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from services.runcontrol.core.commands import CancelWakeCommand
from services.runcontrol.core.events import (
    InputConsumed,
    InputRetracted,
    RunFinished,
    TicketDecided,
    TicketExpired,
    ToolCallDispatched,
    ToolCallSettled,
)
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, VerdictKind
from services.runcontrol.core.model import DispatchState, InputState, RunState, WaitingKind
from services.runcontrol.core.work import ready_at
from tests.support.memory_runcontrol import MemoryTx
from tests.support.memory_tables import Tables

APPROVALS = (VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED, VerdictKind.PASS_TO_TOOL)
PEOPLE = (
    WaitingKind.APPROVAL,
    WaitingKind.USER_INPUT,
    WaitingKind.RECONCILE,
    WaitingKind.TOOL_INPUT,
)
APPROVING = (VerdictKind.APPROVE, VerdictKind.PASS_TO_TOOL)
EXECUTING = (RunState.RUNNING, RunState.CANCELLING)


def check(t: Tables) -> None:
    """Raise AssertionError for whatever does not hold."""
    _dispatches_and_leases(t)
    _threads(t)
    _waits(t)
    _cancelled_waits(t)
    _events(t)
    _tickets(t)
    _inputs(t)


def _once(found: Iterable[str], invariant: str) -> Counter[str]:
    counted = Counter(found)
    assert all(n == 1 for n in counted.values()), f"{invariant}: {counted}"
    return counted


def _dispatches_and_leases(t: Tables) -> None:
    dispatches = t.dispatches.values()
    _once((d.thread_id for d in dispatches if d.state is DispatchState.CLAIMED), "I1")
    queued = (d.run_id for d in dispatches if d.state is DispatchState.QUEUED)
    for dispatch in dispatches:
        epoch = t.threads[dispatch.tenant, dispatch.thread_id].epoch
        if dispatch.state is DispatchState.QUEUED:
            assert dispatch.epoch == epoch, "I11: queued under an older epoch"
    _once(queued, "two queued dispatches of a run")
    for run in t.runs.values():
        lease = t.leases.get((run.tenant, run.thread_id))
        owned = lease is not None and lease.run_id == run.run_id
        assert owned == (run.state in EXECUTING), f"I2: {run.state} with lease {lease}"
        if run.state in EXECUTING:
            assert lease is not None
            assert lease.fence == t.threads[run.tenant, run.thread_id].fence, "I2: stale lease"
        mine = [d for d in dispatches if d.run_id == run.run_id]
        live = [d for d in mine if d.state in (DispatchState.QUEUED, DispatchState.CLAIMED)]
        assert [d.dispatch_id for d in live] == ([run.dispatch_id] if run.dispatch_id else [])
        if run.state is RunState.DONE:
            assert not live, "I5: a finished run has a live dispatch"


def _threads(t: Tables) -> None:
    started = defaultdict(list)
    for run in t.runs.values():
        if run.started_at is not None and run.state is not RunState.DONE:
            started[run.tenant, run.thread_id].append(run.run_id)
    for key, thread in t.threads.items():
        assert len(started[key]) <= 1, f"I3: {started[key]}"
        assert started[key] == ([thread.open_run_id] if thread.open_run_id else [])
        active = [r.run_id for r in t.runs.values() if r.state in EXECUTING]
        active = [r for r in active if t.runs[thread.tenant, r].thread_id == thread.thread_id]
        assert active == ([thread.active_run_id] if thread.active_run_id else [])
        earliest = ready_at(thread, MemoryTx(t).head(thread, thread.created_at))
        assert (thread.ready_at is None) == (earliest is None), "ready_at is stale"
        queued = {d.available_at for d in MemoryTx(t).queued(thread)}
        assert earliest is None or earliest <= (thread.ready_at or earliest), (
            "ready_at is too early"
        )
        assert thread.ready_at is None or thread.ready_at in queued, "ready_at is of no dispatch"


def _waits(t: Tables) -> None:
    for run in t.runs.values():
        assert (run.state is RunState.DONE) == (run.termination is not None)
        if run.state is not RunState.WAITING:
            assert run.waiting == ()
            continue
        live = [reason for reason in run.waiting if _has_source(t, run.tenant, reason)]
        assert live == list(run.waiting) or run.dispatch_id, f"I4: {run.waiting}"
        assert live or run.dispatch_id, "I4: nothing can wake this run"


def _cancelled_waits(t: Tables) -> None:
    """The pool is told of every wait that ended without a wake."""
    told = [e.command.condition_id for e in t.outbox if isinstance(e.command, CancelWakeCommand)]
    _once(told, "a wait cancelled twice")
    woken = {wake.condition_id for wake in t.wakes.values()}
    for call in t.calls.values():
        gave_up = call.state is CallState.CANCELLED and call.condition_id not in ("", *woken)
        assert not gave_up or call.condition_id in told, f"the pool still waits for {call.call_id}"


def _has_source(t: Tables, tenant: str, reason: object) -> bool:
    kind = getattr(reason, "kind", None)
    if kind in PEOPLE:
        ticket = t.tickets[tenant, getattr(reason, "ticket_id", "")]
        return ticket.state is TicketState.OPEN
    if kind is WaitingKind.BACKOFF:
        return True
    call = t.calls[tenant, getattr(reason, "call_id", "")]
    if call.timeout_ms:
        going_on = call.state in (CallState.READY, CallState.DISPATCHED, CallState.ACCEPTED)
        return going_on or call.probe_until is not None
    arrived = [w for w in t.wakes.values() if w.condition_id == call.condition_id]
    slept_through = bool(call.condition_id and arrived)
    return call.state in (CallState.DISPATCHED, CallState.SUSPENDED) and not slept_through


def _events(t: Tables) -> None:
    by_run, by_thread = defaultdict(list), defaultdict(list)
    for (tenant, thread_id, _), event in sorted(t.events.items()):
        by_thread[tenant, thread_id].append(event.thread_seq)
        by_run[tenant, event.run_id].append(event)
    lacking: Counter[tuple[str, str]] = Counter()
    for key, events in by_run.items():
        run = t.runs[key]
        seqs = [e.run_seq for e in events]
        covered = {seq for e in events if e.covers for seq in range(e.covers[0], e.covers[1] + 1)}
        missing = set(range(1, run.event_seq + 1)) - set(seqs)
        assert missing <= covered, f"I6: {missing}"
        assert seqs == sorted(set(seqs)), f"I6: {seqs}"
        assert seqs[-1] == run.event_seq, "I6: the newest event"
        lacking[run.tenant, run.thread_id] += len(missing)
        ends = [i for i, e in enumerate(events) if isinstance(e.kind, RunFinished)]
        expected = [len(events) - 1] if run.state is RunState.DONE else []
        assert ends == expected, "exactly one terminal event, and last"
    for key, seqs in by_thread.items():
        thread = t.threads[key]
        assert seqs == sorted(set(seqs)), f"I6: {seqs}"
        assert thread.event_seq == len(seqs) + lacking[key], f"I6: {seqs}"


def _tickets(t: Tables) -> None:
    kinds = [event.kind for event in t.events.values()]
    _once((k.ticket_id for k in kinds if isinstance(k, TicketDecided)), "I7")
    _once((k.call_id for k in kinds if isinstance(k, ToolCallSettled)), "a call settled twice")
    timed_out = _once((k.ticket_id for k in kinds if isinstance(k, TicketExpired)), "expired twice")
    attempts = [(k.call_id, k.attempt) for k in kinds if isinstance(k, ToolCallDispatched)]
    _once((f"{call_id}/{attempt}" for call_id, attempt in attempts), "I9: an attempt sent twice")
    sent = Counter(call_id for call_id, _ in attempts)
    for call in t.calls.values():
        by_worker = bool(call.timeout_ms)
        assert by_worker or sent[call.call_id] <= 1, "I9"
    for ticket in t.tickets.values():
        won = [d for key, d in t.decisions.items() if key[1] == ticket.ticket_id and d.won]
        assert len(won) <= 1, "I7"
        used = ticket.state is TicketState.CONSUMED
        assert not used or ticket.winner is not None, "I7: consumed without a winner"
        call = t.calls[ticket.tenant, ticket.call_id]
        verdict = ticket.winner.verdict if ticket.winner else None
        approval = ticket.kind is TicketKind.APPROVAL
        if used and approval and verdict and verdict.kind in APPROVALS:
            assert call.digest == ticket.digest, "I8"
            assert call.arguments_json == ticket.arguments_json, "I8: other arguments ran"
            edited = verdict.kind is VerdictKind.APPROVE_EDITED
            assert call.arguments_by == ("local" if edited else ""), "I8: by somebody else"
            assert not edited or call.arguments_json == verdict.text, "I8: not the approver's"
        if sent[ticket.call_id] and approval:
            assert used, "an effect without consent"
        expired = ticket.state is TicketState.EXPIRED
        assert expired == (ticket.ticket_id in timed_out), "expired without its event"
        if expired:
            assert ticket.winner is None, "I7: decided after its time"
            assert call.state is CallState.FAILED, "expired, and not denied"


def _inputs(t: Tables) -> None:
    kinds = [event.kind for event in t.events.values()]
    read = _once((k.input_id for k in kinds if isinstance(k, InputConsumed)), "I10")
    taken_back = [k.input_id for k in kinds if isinstance(k, InputRetracted)]
    for said in t.inputs.values():
        assert (said.state is InputState.CONSUMED) == bool(read[said.input_id]), "I10"
        retracted = said.input_id in taken_back
        assert retracted == (said.state is InputState.RETRACTED), "I10: read after it was retracted"
        run = t.runs[said.tenant, said.run_id]
        pending = said.state is InputState.PENDING
        assert not (pending and run.state is RunState.DONE), "input that nobody will read"
    readers = {
        e.kind.input_id: e.run_id for e in t.events.values() if isinstance(e.kind, InputConsumed)
    }
    assert all(t.inputs["default", i].run_id == run_id for i, run_id in readers.items())
