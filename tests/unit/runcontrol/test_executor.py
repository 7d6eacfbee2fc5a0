"""The executor: slots, cancels, hand-backs, lost leases and an unavailable store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.chassis.drain import Drain
from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import LocalNotifier
from services.content.model import FinishReason, ToolCall, Usage
from services.runcontrol.core.claiming import RENEW_EVERY_S
from services.runcontrol.core.commands import FetchedMessage
from services.runcontrol.core.events import (
    AttemptFailed,
    MessageCommitted,
    Routed,
    StepReset,
    TextDelta,
)
from services.runcontrol.core.inference import Finished, Item, ModelCall, Restarted
from services.runcontrol.core.model import RunState, TerminationReason
from services.runcontrol.core.ports import CANCELS, READY
from services.runcontrol.engine.executor import Executor
from services.runcontrol.engine.run_loop import RunLoop
from services.runcontrol.engine.slots import Slots
from tests.support.waiting import until
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, run_until_idle

END = Finished(FinishReason.STOP)


class ScriptedModels:
    """``Models`` with scripted answers; a call may be held until it is released.

    Attributes:
        stalling: By target, what its first token waits for.
    """

    def __init__(self) -> None:
        self.batches: list[Sequence[Item]] = [[TextDelta("done"), Usage(1, 1), END]]
        self.held = asyncio.Event()
        self.held.set()
        self.asked: list[ModelCall] = []
        self.left = 0
        self.stalling: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def infer(
        self, model_call: ModelCall
    ) -> AsyncIterator[AsyncGenerator[Sequence[Item], None]]:
        self.asked.append(model_call)
        try:
            yield self._answer(self.stalling.get(model_call.target_id))
        finally:
            self.left += 1

    async def _answer(self, stalled: asyncio.Event | None) -> AsyncGenerator[Sequence[Item], None]:
        if stalled is not None:
            await stalled.wait()
        for batch in self.batches:
            yield batch
            await self.held.wait()


class ScriptedInbox:
    """``Inbox`` that has every message, or fails."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def fetch(
        self, principal: str, run_id: str, pool_id: str, message_ids: tuple[str, ...]
    ) -> tuple[FetchedMessage, ...]:
        if self.error is not None:
            raise self.error
        return tuple(FetchedMessage(name, "token", "{}") for name in message_ids)


async def unavailable(*_: object) -> None:
    raise StoreUnavailableError("the database did not take the work")


class Process:
    """An executor with its loops, over the memory store."""

    def __init__(self, slots: int = 4, waiting: int = 64) -> None:
        self.system = InMemoryRunControl()
        self.models = ScriptedModels()
        self.inbox = ScriptedInbox()
        self.drain = Drain()
        self.notifier = LocalNotifier(self.system.clock)
        self.slots = Slots(slots, waiting, self.system.clock, lambda: self.notifier.notify(READY))
        self.executor = self.executor_with(self.drain)
        self.tasks: list[asyncio.Task[None]] = []

    def executor_with(self, drain: Drain) -> Executor:
        execution, clock = self.system.execution, self.system.clock
        loop = RunLoop(execution, self.models, self.inbox, clock, self.slots, 128)
        return Executor(execution, loop, self.notifier, clock, drain, self.slots)

    def start(self) -> None:
        executor = self.executor
        for fn in (executor.claim_forever, executor.keep_leases, executor.sweep):
            self.tasks.append(asyncio.ensure_future(fn()))

    async def close(self) -> None:
        self.models.held.set()
        await self.executor.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Run the tasks, and pass 10 ms per turn, until the condition holds."""
        await until(holds, lambda: self.system.clock.advance(0.01))

    def submit(self, **fields: Any) -> str:
        run_id = self.system.submit(**fields).run_id
        self.notifier.notify(READY)
        return run_id

    async def start_answering(self, **fields: Any) -> str:
        """Submit a run and let its model answer until it is released."""
        self.models.held.clear()
        run_id = self.submit(**fields)
        await self.until_event(run_id, "TextDelta")
        return run_id

    async def until_event(self, run_id: str, kind: str) -> None:
        await self.until(lambda: kind in self.system.kinds(run_id))

    async def until_done(self, run_id: str) -> None:
        await self.until(lambda: self.state(run_id) is RunState.DONE)

    def state(self, run_id: str) -> RunState:
        return self.system.run(run_id).state

    def ended(self, run_id: str) -> TerminationReason:
        return self.system.termination(run_id).reason


@pytest_asyncio.fixture
async def process() -> AsyncIterator[Process]:
    running = Process()
    running.start()
    yield running
    await running.close()


async def test_a_submitted_run_is_executed_to_its_end(process: Process) -> None:
    # when a run is submitted to a process
    run_id = process.submit()
    await process.until_done(run_id)

    # then its model was called once, and its message covers its deltas
    assert process.ended(run_id) is TerminationReason.NATURAL_END
    assert len(process.models.asked) == process.models.left == 1
    committed = process.system.last_event(MessageCommitted)
    assert 0 < committed.covers_from_run_seq <= committed.covers_to_run_seq


async def test_the_deltas_of_a_slow_stream_are_committed_one_by_one(process: Process) -> None:
    # given a model that pauses between its words
    process.models.batches = [[TextDelta("one ")], [TextDelta("two ")], [TextDelta("three"), END]]
    process.models.held.clear()

    # when each word is released after the one before was committed
    run_id = process.submit()
    for count in (1, 2):
        await process.until(lambda n=count: process.system.kinds(run_id).count("TextDelta") == n)
        process.models.held.set()
        await asyncio.sleep(0)
        process.models.held.clear()
    process.models.held.set()
    await process.until_done(run_id)

    # then the message covers exactly the deltas
    committed = process.system.last_event(MessageCommitted)
    covered = range(committed.covers_from_run_seq, committed.covers_to_run_seq + 1)
    words = [
        event.kind.text
        for event in process.system.tables.events.values()
        if event.run_seq in covered and isinstance(event.kind, TextDelta)
    ]
    assert len(words) == len(covered) >= 2
    assert "".join(words) == "one two three"


async def test_at_most_as_many_runs_execute_as_there_are_slots() -> None:
    # given a process with two slots whose models pause after their first token
    process = Process(slots=2)
    process.models.batches = [[TextDelta("one")], [END]]
    process.models.held.clear()
    process.start()

    # when five runs are submitted
    runs = [process.submit() for _ in range(5)]
    await process.until(lambda: process.executor.running == 2)
    for _ in range(100):
        process.system.clock.advance(0.01)
        await asyncio.sleep(0)
    busiest = [process.state(r) for r in runs].count(RunState.RUNNING)
    process.models.held.set()
    await process.until(lambda: all(process.state(r) is RunState.DONE for r in runs))
    await process.close()

    # then two executed at a time, and all have ended
    assert busiest == 2


async def test_a_stalling_target_holds_up_its_own_runs_alone() -> None:
    # given a process with two slots, and a target of which two runs wait for a first token
    process = Process(slots=2, waiting=2)
    stalled = asyncio.Event()
    process.models.stalling["stuck"] = stalled
    process.system.catalogs.agents["other"] = replace(
        agent(), agent=replace(agent().agent, agent_id="other", target_id="stuck")
    )
    process.start()
    stuck = [process.submit(agent_id="other") for _ in range(3)]
    await process.until(lambda: len(process.models.asked) == 2)

    # when runs of another target are submitted
    quick = [process.submit() for _ in range(4)]
    await process.until(lambda: all(process.state(r) is RunState.DONE for r in quick))

    # then they are executed, while a third run of the target backs off
    await process.until(lambda: any("AttemptFailed" in process.system.kinds(r) for r in stuck))
    assert process.system.last_event(AttemptFailed).reason == "TARGET_BUSY"
    stalled.set()
    await process.until(lambda: all(process.state(r) is RunState.DONE for r in stuck))
    await process.close()


async def test_a_cancel_interrupts_the_model_call(process: Process) -> None:
    # given a run whose model is answering
    run_id = await process.start_answering()

    # when it is cancelled
    process.system.cancel(run_id=run_id, reason="enough")
    process.notifier.notify(CANCELS)
    await process.until_done(run_id)

    # then the call was cancelled, and so was the run
    assert (process.models.left, process.ended(run_id)) == (1, TerminationReason.CANCELLED)


async def test_a_deadline_interrupts_the_model_call(process: Process) -> None:
    # given a run with a deadline of ten seconds whose model is answering
    run_id = await process.start_answering(deadline_s=10.0)

    # when they have passed
    await process.until_done(run_id)

    # then the call was cancelled
    assert (process.models.left, process.ended(run_id)) == (1, TerminationReason.DEADLINE)


async def test_a_hand_back_leaves_the_run_to_the_next_server(process: Process) -> None:
    # given a run whose model is answering
    run_id = await process.start_answering()

    # when the server drains
    process.drain.start()
    await process.executor.hand_back()

    # then the run is queued, and the attempt did not count
    (dispatch,) = process.system.tables.dispatches.values()
    assert process.state(run_id) is RunState.WAITING
    assert (dispatch.attempt, dispatch.handoffs) == (0, 1)
    assert process.executor.running == 0


async def test_a_draining_server_claims_nothing(process: Process) -> None:
    # given a server that drains
    process.drain.start()

    # when a run is submitted
    run_id = process.submit()
    await run_until_idle()

    # then it stays queued
    assert process.state(run_id) is RunState.QUEUED


class DrainOnceClaimed(Drain):
    """A drain that starts as soon as a run is claimed."""

    def __init__(self, system: InMemoryRunControl) -> None:
        super().__init__()
        self._system = system

    @property
    def started(self) -> bool:
        if self._system.tables.leases:
            self.start()
        return super().started


async def test_a_server_that_starts_to_drain_while_it_claims_claims_eight_runs_at_most() -> None:
    # given 20 runs, and a server with a slot for each
    process = Process(slots=20)
    process.executor = process.executor_with(DrainOnceClaimed(process.system))
    runs = [process.submit() for _ in range(20)]

    # when it starts to drain at its first claim
    claiming = asyncio.ensure_future(process.executor.claim_forever())
    await process.until(claiming.done)

    # then the other runs stay queued, and those that were claimed are handed back unchanged
    await process.until(lambda: process.executor.running == 0)
    states = [process.state(run_id) for run_id in runs]
    assert states.count(RunState.QUEUED) == 12
    assert {dispatch.attempt for dispatch in process.system.tables.dispatches.values()} == {0}
    assert [run_id for run_id in runs if "StepStarted" in process.system.kinds(run_id)] == []
    await process.close()


async def test_a_run_that_has_another_owner_is_stopped(process: Process) -> None:
    # given a run whose model is answering
    run_id = await process.start_answering()

    # when another server claims it
    process.system.tables.leases.clear()
    before = process.system.kinds(run_id)
    process.system.clock.advance(RENEW_EVERY_S)
    await process.until(lambda: process.executor.running == 0)

    # then the first server wrote nothing more
    assert process.system.kinds(run_id) == before


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_server_that_cannot_renew_stops_its_runs(process: Process, hangs: bool) -> None:
    # given a run whose model is answering, and a store that fails or hangs
    run_id = await process.start_answering()
    await run_until_idle()

    async def hang(fn: object) -> None:
        await asyncio.Event().wait()

    process.system.store.write = hang if hangs else unavailable  # type: ignore[assignment,method-assign]  # the store fails

    # when ten seconds have passed
    for _ in range(2):
        process.system.clock.advance(RENEW_EVERY_S)
        await run_until_idle()

    # then the run was stopped, and nothing was written
    assert (process.models.left, process.executor.running) == (1, 0)
    assert process.state(run_id) is RunState.RUNNING


async def test_an_attempt_whose_failure_was_not_recorded_is_repeated(process: Process) -> None:
    # given a run whose attempt fails while the store is unavailable
    process.models.batches = [[TextDelta("half")]]
    works = process.system.execution.fail

    process.system.execution.fail = unavailable  # type: ignore[method-assign]  # this write is lost
    run_id = process.submit()
    await process.until(lambda: process.models.left == 1 and process.executor.running == 0)

    # when the lease lapses
    process.system.execution.fail = works  # type: ignore[method-assign]  # the store is available again
    process.models.batches = [[TextDelta("done"), END]]
    for _ in range(5):
        process.system.clock.advance(RENEW_EVERY_S)
        await run_until_idle()

    # then the run is executed again
    await process.until_done(run_id)
    assert process.ended(run_id) is TerminationReason.NATURAL_END


async def test_a_run_waits_for_a_pool_that_does_not_answer(process: Process) -> None:
    # given a run that is woken with a message while the pool is unavailable
    process.inbox.error = StoreUnavailableError("the pool does not answer")
    call = ToolCall("m0", "pool_wait", '{"pool_id": "room"}')
    process.models.batches = [[call, Finished(FinishReason.TOOL_CALLS)]]
    run_id = process.submit()
    await process.until(lambda: process.state(run_id) is RunState.WAITING)
    process.models.batches = [[TextDelta("done"), END]]
    process.system.wake(process.system.call().condition_id, run_id, message_ids=("m1",))
    process.notifier.notify(READY)
    await process.until_event(run_id, "AttemptFailed")
    failed = process.system.last_event(AttemptFailed)

    # when the pool is available again
    process.inbox.error = None
    await process.until_done(run_id)

    # then the run continued with its message
    assert (failed.retry_class, failed.will_retry) == ("throttled", True)
    assert process.ended(run_id) is TerminationReason.NATURAL_END


@pytest.mark.parametrize(
    ("batch", "reason"),
    [([object()], "INTERNAL"), ([TextDelta("half")], "STREAM_INTERRUPTED")],
    ids=["unexpected exception", "stream without its last item"],
)
async def test_a_model_call_that_breaks_fails_the_attempt(
    process: Process, batch: Sequence[Item], reason: str
) -> None:
    # given a model call that raises an unexpected exception, or ends without its last item
    process.models.batches = [batch]

    # when a run is executed
    run_id = process.submit()
    await process.until_event(run_id, "AttemptFailed")

    # then the attempt is repeated, its event does not show the cause, and no answer is committed
    failed = process.system.last_event(AttemptFailed)
    assert (failed.retry_class, failed.reason) == ("error", reason)
    assert "MessageCommitted" in process.system.kinds(run_id)
    assert process.system.run(run_id).rounds == 0


async def test_an_answer_that_starts_over_resets_its_deltas(process: Process) -> None:
    # given a stream that is started over by another member, before and after its first word
    elsewhere = Routed("pool", "model-2", "provider", "model-1", 2, "moved", "stream_truncated")
    restarted = [Restarted(elsewhere), TextDelta("whole")]
    process.models.batches = [[Restarted(elsewhere)], [TextDelta("half")], restarted, [END]]

    # when a run is executed
    run_id = process.submit()
    await process.until_done(run_id)

    # then there is one reset, and the message covers the deltas after it
    committed = process.system.last_event(MessageCommitted)
    reset = process.system.last_event(StepReset)
    assert process.system.run(run_id).output_text == "whole"
    assert process.system.kinds(run_id).count("StepReset") == 1
    assert process.system.last_event(Routed) == elsewhere
    assert reset.from_run_seq < committed.covers_from_run_seq


async def test_a_server_whose_clock_is_set_keeps_the_runs_that_it_executes(
    process: Process,
) -> None:
    # given a run whose model is answering
    run_id = await process.start_answering()

    # when the clock is set forward by an hour, and a second passes, in which leases are swept
    process.system.clock.set_forward(3_600)
    passed_s = process.system.clock.monotonic_s() + 1.5
    await process.until(lambda: process.system.clock.monotonic_s() >= passed_s)
    process.models.held.set()
    await process.until_done(run_id)

    # then it has ended in its first attempt
    assert process.ended(run_id) is TerminationReason.NATURAL_END
    assert "AttemptFailed" not in process.system.kinds(run_id)
