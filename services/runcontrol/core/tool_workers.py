"""The use cases of tool workers. Each is one transaction unless it says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.chassis.ids import IdSource
from services.runcontrol.core.errors import CallNotFoundError
from services.runcontrol.core.exchange import REPEATS_ARE_EFFECTS, Call, CallState
from services.runcontrol.core.forbidding import in_force
from services.runcontrol.core.late_results import keep, late_result
from services.runcontrol.core.limits import SWEEP_LIMIT
from services.runcontrol.core.ports import CallKey, Catalogs, Store, Tx, Wanted
from services.runcontrol.core.specs import Catalog, ToolSpec
from services.runcontrol.core.work import Work, commit, pinned_specs
from services.runcontrol.core.worker_calls import (
    CallRef,
    Effect,
    Outcome,
    ResultOutcome,
    Worker,
    WorkerTimes,
    accept,
    ask,
    deny,
    dispatch,
    end,
    hand_back,
    is_attempt,
    may_ask,
    may_be_taken,
    note_progress,
    refuse_foreign_tools,
    sweep,
    take_finding,
    withhold,
)

# Of the calls of a tool that wait, how many are examined at a time for why they do.
WITHHOLD_LIMIT = 50
# Of a tenant's lost calls, how many are asked about at a time.
PROBE_LIMIT = 200


@dataclass(frozen=True, slots=True)
class TakenCall:
    """A call that a worker has to do with, and what that has to know of its run."""

    call: Call
    thread_id: str
    agent_id: str
    principal: str
    tool_version: str

    @property
    def ref(self) -> CallRef:
        return CallRef(self.call.call_id, self.call.attempt, self.call.fence)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an acceptance.

    Attributes:
        is_owner: Whether the worker may execute the call.
        awaits_go: Whether it awaits a ``Go`` before it starts.
    """

    is_owner: bool
    awaits_go: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    ref: CallRef
    progress_seq: int = 0
    note: str = ""


class ToolWorkers:
    """Gives calls to workers, and takes what these say of them."""

    def __init__(
        self,
        store: Store,
        catalogs: Catalogs,
        clock: Clock,
        ids: IdSource,
        times: WorkerTimes | None = None,
    ) -> None:
        self.times = times or WorkerTimes()
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids

    async def begin_session(
        self, tenant: str, worker: Worker, tools: Sequence[str], labels: tuple[str, ...]
    ) -> int:
        """Note which tools the worker serves; return the number of its new session."""

        def fn(tx: Tx) -> int:
            now = self._clock.now()
            for tool_id in tools:
                tx.announce(tenant, tool_id, labels, now)
            return tx.begin_session(tenant, worker, now)

        return await self._store.write(fn)

    async def newest_session(self, tenant: str, worker: Worker) -> int:
        """The number of the newest session of the worker's instance."""
        return await self._store.write(lambda tx: tx.session_epoch(tenant, worker.instance_id))

    async def waiting(self, tenant: str, wanted: Wanted, limit: int) -> list[CallKey]:
        """Calls that can be given to a worker, longest ready first."""
        return await self._store.write(
            lambda tx: tx.ready_calls(tenant, wanted, self._clock.now(), limit)
        )

    async def longest_ready(self, tenant: str, tool_id: str) -> list[Call]:
        """Calls of a tool that nobody has taken."""
        return await self._store.write(
            lambda tx: tx.longest_ready(tenant, tool_id, self._clock.now(), WITHHOLD_LIMIT)
        )

    async def withhold(self, waiting: Call, worker: Worker) -> ToolSpec | None:
        """Record that a worker does not get a call, once; return the tool as the run knows it.

        None when the call does not wait any more.
        """

        def fn(tx: Tx) -> ToolSpec | None:
            before = tx.load(waiting.tenant, waiting.run_id, self._clock.now())
            call = before.find_call(waiting.call_id) if before else None
            specs = pinned_specs(tx, before) if before else None
            tool = specs.tool(waiting.tool_id) if specs else None
            if before is None or call is None or tool is None or not may_be_taken(before, call):
                return None
            after = withhold(before, call, worker, tool.version)
            if after is not before:
                commit(tx, before, after)
            return tool

        return await self._store.write(fn)

    async def take(self, key: CallKey, worker: Worker) -> TakenCall | None:
        """Give a call to a worker; None when somebody else has it by now, or it is denied."""
        tenant, thread_id, run_id, call_id = key
        newest = self._catalogs.newest()

        def fn(tx: Tx) -> TakenCall | None:
            if not tx.try_lock(tenant, thread_id):
                return None
            before = tx.load(tenant, run_id, self._clock.now())
            call = before.find_call(call_id) if before else None
            if before is None or call is None or not may_be_taken(before, call):
                return None
            tool = _tool(tx, before, call, newest)
            if tool is not None and tool.denied_by:
                commit(tx, before, deny(before, call, tool, self._ids))
                return None
            after = commit(tx, before, dispatch(before, call, worker, self.times.accept_s))
            return _taken(after, call_id, tool.version if tool else "")

        return await self._store.write(fn)

    async def accept(self, tenant: str, worker: Worker, ref: CallRef) -> Accepted:
        """Let the worker execute a call that it was given, unless another one has it by now.

        One that awaits a ``Go`` has not started: it may be denied meanwhile.
        """
        newest = self._catalogs.newest()

        def fn(tx: Tx) -> Accepted:
            before = self._load(tx, tenant, ref)
            call = _held_by(before, ref, worker)
            if before is None or call is None:
                return Accepted(is_owner=False)
            awaits_go = call.effect_class in REPEATS_ARE_EFFECTS
            if call.state is CallState.DISPATCHED:
                tool = _tool(tx, before, call, newest) if awaits_go else None
                if tool is not None and tool.denied_by:
                    commit(tx, before, deny(before, call, tool, self._ids))
                    return Accepted(is_owner=False)
                commit(tx, before, accept(before, call, self.times.lease_s))
            return Accepted(is_owner=True, awaits_go=awaits_go)

        return await self._store.write(fn)

    async def extend(
        self, tenant: str, worker: Worker, calls: Sequence[Progress]
    ) -> list[tuple[CallRef, datetime | None]]:
        """Extend the leases of calls that the worker executes, and record their progress.

        Several transactions. Returns until when each lease holds; None for a call that is not the
        worker's any more.
        """
        until = self._clock.now() + timedelta(seconds=self.times.lease_s)
        ordered = sorted(calls, key=lambda each: each.ref.call_id)

        def fn(tx: Tx) -> list[bool]:
            return [tx.extend_call(tenant, each.ref, worker, until) for each in ordered]

        # Other writes wait for it, as they do for the leases of runs.
        extended = await self._store.write_first(fn)
        for each, is_extended in zip(ordered, extended, strict=True):
            if is_extended and each.progress_seq:
                await self._store.write(partial(self._progress, tenant, worker, each))
        held = zip(ordered, extended, strict=True)
        return [(each.ref, until if is_extended else None) for each, is_extended in held]

    def _progress(self, tenant: str, worker: Worker, progress: Progress, tx: Tx) -> None:
        before = self._load(tx, tenant, progress.ref)
        call = _held_by(before, progress.ref, worker)
        if before is not None and call is not None:
            after = note_progress(before, call, progress.progress_seq, progress.note)
            if after is not before:
                commit(tx, before, after)

    async def report(
        self, caller: Caller, ref: CallRef, outcome: Outcome, worker_id: str = ""
    ) -> ResultOutcome | Replay:
        """Take the result of an attempt; one that does not count is kept as evidence.

        Args:
            worker_id: The worker that reports it in a session.

        Raises:
            CallNotFoundError: There is no such call.
            ToolNotAllowedError: The caller may not serve its tool.
        """

        tenant = caller.tenant

        def fn(tx: Tx) -> ResultOutcome:
            stored = tx.call(tenant, ref.call_id)
            if stored is None:
                raise CallNotFoundError.of(ref.call_id)
            refuse_foreign_tools(caller.principal, [stored.tool_id])
            before = tx.load(tenant, stored.run_id, self._clock.now())
            # Read again, now that its thread is locked.
            stored = tx.call(tenant, ref.call_id) or stored
            call = before.find_call(ref.call_id) if before else None
            may_end = call is not None and not call.settled and call.asked != ref.attempt
            if before is not None and call is not None and is_attempt(call, ref) and may_end:
                commit(tx, before, end(before, call, outcome, self._ids))
                return ResultOutcome.COMMITTED
            reporter, now = caller.principal.name, self._clock.now()
            tx.keep_late_results(keep(stored, late_result(ref, outcome, reporter, worker_id, now)))
            is_newest = is_attempt(stored, ref)
            return ResultOutcome.DUPLICATE if is_newest else ResultOutcome.FENCED

        return await self._store.write(lambda tx: once(tx, caller, lambda: fn(tx)))

    async def lost(self, tenant: str) -> list[Call]:
        """Calls of which a worker may say what has become of them, longest lost first."""
        return await self._store.write(lambda tx: tx.probed_calls(tenant, PROBE_LIMIT))

    async def to_probe(self, lost: Call) -> TakenCall | None:
        """What a worker has to know to say what became of a call; None when that is known."""

        def fn(tx: Tx) -> TakenCall | None:
            work = tx.load(lost.tenant, lost.run_id, self._clock.now())
            call = work.find_call(lost.call_id) if work else None
            if work is None or call is None or call.probe_until is None:
                return None
            tool = _tool(tx, work, call, None)
            return _taken(work, call.call_id, tool.version if tool else "")

        return await self._store.write(fn)

    async def take_finding(self, tenant: str, ref: CallRef, effect: Effect, content: str) -> None:
        """Let the answer to a probe count, unless the attempt was answered for meanwhile."""

        def fn(tx: Tx) -> None:
            before = self._load(tx, tenant, ref)
            call = before.find_call(ref.call_id) if before else None
            if before is None or call is None or not is_attempt(call, ref):
                return
            if call.probe_until is not None:
                commit(tx, before, take_finding(before, call, effect, content, self._ids))

        await self._store.write(fn)

    async def ask(
        self, tenant: str, worker: Worker, ref: CallRef, question: str, sealed_state: bytes
    ) -> ResultOutcome:
        """Ask a person on behalf of a tool, whose attempt ends with it."""

        def fn(tx: Tx) -> ResultOutcome:
            found = self._asker(tx, tenant, worker, ref)
            if isinstance(found, ResultOutcome):
                return found
            before, call = found
            commit(tx, before, ask(before, call, question, sealed_state))
            return ResultOutcome.COMMITTED

        return await self._store.write(fn)

    async def may_ask(self, tenant: str, worker: Worker, ref: CallRef) -> bool:
        """Whether a question would end the attempt, also one that was lost."""

        def fn(tx: Tx) -> bool:
            return not isinstance(self._asker(tx, tenant, worker, ref), ResultOutcome)

        return await self._store.write(fn)

    def _asker(
        self, tx: Tx, tenant: str, worker: Worker, ref: CallRef
    ) -> tuple[Work, Call] | ResultOutcome:
        """The call of an attempt that may ask; else what its worker is told."""
        before = self._load(tx, tenant, ref)
        stored = tx.call(tenant, ref.call_id)
        if before is None or stored is None or not is_attempt(stored, ref):
            return ResultOutcome.FENCED
        if stored.worker_instance != worker.instance_id:
            return ResultOutcome.FENCED
        call = before.find_call(ref.call_id)
        if call is None or call.settled or call.asked == ref.attempt:
            return ResultOutcome.DUPLICATE
        return (before, call) if may_ask(before, call) else ResultOutcome.FENCED

    async def hand_back(self, tenant: str, worker: Worker, ref: CallRef) -> None:
        """Let another worker have a call that this one has not started."""

        def fn(tx: Tx) -> None:
            before = self._load(tx, tenant, ref)
            call = _held_by(before, ref, worker)
            if before is not None and call is not None:
                commit(tx, before, hand_back(before, call))

        await self._store.write(fn)

    async def lose_unaccepted(self, tenant: str, worker: Worker, refs: Sequence[CallRef]) -> None:
        """Let other workers have the calls that a worker was given and has not accepted.

        One transaction per call.
        """

        def fn(ref: CallRef, tx: Tx) -> None:
            before = self._load(tx, tenant, ref)
            call = _held_by(before, ref, worker)
            if before is not None and call is not None and call.state is CallState.DISPATCHED:
                commit(tx, before, hand_back(before, call))

        for ref in refs:
            await self._store.write(partial(fn, ref))

    async def held(
        self, tenant: str, worker: Worker, refs: Sequence[CallRef]
    ) -> dict[CallRef, str]:
        """Those of the attempts that are still the worker's, with the ids of their tools."""

        def fn(tx: Tx) -> dict[CallRef, str]:
            found = ((ref, tx.call(tenant, ref.call_id)) for ref in refs)
            return {
                ref: call.tool_id for ref, call in found if call and _is_held(call, ref, worker)
            }

        return await self._store.write(fn)

    async def sweep(self) -> int:
        """End what was not taken, accepted, renewed or ended in time; return how many calls.

        One transaction per call.
        """
        due = await self._store.write(lambda tx: tx.overdue_calls(self._clock.now(), SWEEP_LIMIT))

        async def one(key: CallKey) -> int:
            return await self._store.write(partial(self._sweep, key))

        return sum(await each_row(due, one, _call_named))

    def _sweep(self, key: CallKey, tx: Tx) -> int:
        tenant, thread_id, run_id, call_id = key
        if not tx.try_lock(tenant, thread_id):
            return 0
        before = tx.load(tenant, run_id, self._clock.now())
        call = before.find_call(call_id) if before else None
        if before is None or call is None:
            return 0
        after = sweep(before, call, self._ids)
        if after is before:
            return 0  # renewed or ended since it was found
        commit(tx, before, after)
        return 1

    def _load(self, tx: Tx, tenant: str, ref: CallRef) -> Work | None:
        stored = tx.call(tenant, ref.call_id)
        return tx.load(tenant, stored.run_id, self._clock.now()) if stored else None


def _tool(tx: Tx, work: Work, call: Call, newest: Catalog | None) -> ToolSpec | None:
    """The tool of a call, as it is in force; None when the pinned specifications are lost."""
    pinned = pinned_specs(tx, work)
    return in_force(pinned, newest).tool(call.tool_id) if pinned else None


def _taken(work: Work, call_id: str, tool_version: str) -> TakenCall:
    call, run = work.call(call_id), work.run
    return TakenCall(call, run.thread_id, run.agent_id, run.principal, tool_version)


_HELD = frozenset({CallState.DISPATCHED, CallState.ACCEPTED})


def _is_held(call: Call, ref: CallRef, worker: Worker) -> bool:
    """Whether the worker has this attempt of the call."""
    is_newest = is_attempt(call, ref) and call.state in _HELD
    return is_newest and call.worker_instance == worker.instance_id


def _held_by(work: Work | None, ref: CallRef, worker: Worker) -> Call | None:
    """The call of the attempt, if the worker has it."""
    call = work.find_call(ref.call_id) if work else None
    return call if call is not None and _is_held(call, ref, worker) else None


def _call_named(key: CallKey) -> dict[str, object]:
    return {"run_id": key[2], "call_id": key[3], "work": "overdue call"}
