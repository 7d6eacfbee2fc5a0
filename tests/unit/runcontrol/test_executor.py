"""Executing claimed runs in one process: slots, cancels, hand-backs, lost leases, lost stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from services.chassis.drain import Drain
from services.chassis.errors import StoreUnavailableError
from services.chassis.notifier import LocalNotifier
from services.content.model import FinishReason, ToolCall, Usage
from services.runcontrol.core.claiming import RENEW_EVERY_S
from services.runcontrol.core.commands import FetchedMessage
from services.runcontrol.core.events import AttemptFailed, MessageCommitted, StepReset, TextDelta
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.inference import Finished, Item, Question, Restarted
from services.runcontrol.core.model import RunState, TerminationReason
from services.runcontrol.core.ports import CANCELS, READY
from services.runcontrol.core.retrying import Failure
from services.runcontrol.engine.executor import Executor
from services.runcontrol.engine.run_loop import RunLoop
from tests.unit.runcontrol.world import World

END = Finished(FinishReason.STOP)


class ScriptedModels:
    """``Models`` that answer what they were told to, or wait until they are let go."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Item]] = [[TextDelta("done"), Usage(1, 1), END]]
        self.held = asyncio.Event()
        self.held.set()
        self.asked: list[Question] = []
        self.left = 0

    @asynccontextmanager
    async def infer(
        self, question: Question
    ) -> AsyncIterator[AsyncGenerator[Sequence[Item], None]]:
        self.asked.append(question)
        try:
            yield self._answer()
        finally:
            self.left += 1

    async def _answer(self) -> AsyncGenerator[Sequence[Item], None]:
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


async def turns() -> None:
    """Let everything go on that can without time passing."""
    for _ in range(60):
        await asyncio.sleep(0)


class Process:
    """An executor with its loops, over the memory store."""

    def __init__(self, slots: int = 4) -> None:
        self.world = World()
        self.models = ScriptedModels()
        self.inbox = ScriptedInbox()
        self.drain = Drain()
        self.notifier = LocalNotifier(self.world.clock)
        clock = self.world.clock
        loop = RunLoop(self.world.execution, self.models, self.inbox, clock)
        self.executor = Executor(
            self.world.execution, loop, self.notifier, clock, self.drain, slots
        )
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for fn in (
            self.executor.claim_forever,
            self.executor.keep_leases,
            self.executor.sweep,
        ):
            self.tasks.append(asyncio.ensure_future(fn()))

    async def close(self) -> None:
        self.models.held.set()
        await self.executor.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the loop turn, and a little time pass, until something holds."""
        for _ in range(2000):
            if holds():
                return
            self.world.clock.advance(0.01)
            await asyncio.sleep(0)
        raise AssertionError("it never happened")

    def submit(self, **fields: Any) -> str:
        run_id = self.world.submit(**fields).run_id
        self.notifier.ring(READY)
        return run_id

    def state(self, run_id: str) -> RunState:
        return self.world.run(run_id).state

    def ended(self, run_id: str) -> TerminationReason:
        termination = self.world.run(run_id).termination
        assert termination is not None
        return termination.reason


@pytest_asyncio.fixture
async def process() -> AsyncIterator[Process]:
    running = Process()
    yield running
    await running.close()


async def test_a_run_is_executed_to_its_end(process: Process) -> None:
    # given a process
    process.start()

    # when a run is submitted
    run_id = process.submit()
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then its model was asked once and its answer covers its deltas
    assert process.ended(run_id) is TerminationReason.NATURAL_END
    assert len(process.models.asked) == process.models.left == 1
    committed = process.world.last_event(MessageCommitted)
    assert 0 < committed.covers_from_run_seq <= committed.covers_to_run_seq


async def test_what_streams_slowly_is_committed_piece_by_piece(process: Process) -> None:
    # given a model that makes a pause between its words
    process.models.batches = [[TextDelta("one ")], [TextDelta("two ")], [TextDelta("three"), END]]
    process.models.held.clear()
    process.start()

    # when each word is let go only after the one before was committed
    run_id = process.submit()
    for count in (1, 2):
        await process.until(lambda n=count: process.world.kinds(run_id).count("TextDelta") == n)
        process.models.held.set()
        await asyncio.sleep(0)
        process.models.held.clear()
    process.models.held.set()
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then the message covers exactly the words
    committed = process.world.last_event(MessageCommitted)
    covered = range(committed.covers_from_run_seq, committed.covers_to_run_seq + 1)
    words = [
        event.kind.text
        for event in process.world.store.tables.events.values()
        if event.run_seq in covered and isinstance(event.kind, TextDelta)
    ]
    assert len(words) == len(covered) >= 2
    assert "".join(words) == "one two three"


async def test_no_more_runs_than_slots(process: Process) -> None:
    # given a process with two slots whose models do not answer
    process = Process(slots=2)
    process.models.held.clear()
    process.start()

    # when five runs are submitted
    runs = [process.submit() for _ in range(5)]
    await process.until(lambda: process.executor.running == 2)
    for _ in range(100):
        process.world.clock.advance(0.01)
        await asyncio.sleep(0)
    busiest = [process.state(r) for r in runs].count(RunState.RUNNING)
    process.models.held.set()
    await process.until(lambda: all(process.state(r) is RunState.DONE for r in runs))
    await process.close()

    # then two ran at a time, and in the end all did
    assert busiest == 2


async def test_a_cancel_interrupts_the_model_call(process: Process) -> None:
    # given a run whose model is in the middle of an answer
    process.models.held.clear()
    process.start()
    run_id = process.submit()
    await process.until(lambda: "TextDelta" in process.world.kinds(run_id))

    # when it is cancelled
    process.world.cancel(run_id=run_id, reason="enough")
    process.notifier.ring(CANCELS)
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then the call was left and the run is cancelled
    ended = process.ended(run_id)
    assert (process.models.left, ended) == (1, TerminationReason.CANCELLED)


async def test_a_deadline_interrupts_the_model_call(process: Process) -> None:
    # given a run with ten seconds whose model is in the middle of an answer
    process.models.held.clear()
    process.start()
    run_id = process.submit(deadline_s=10.0)
    await process.until(lambda: "TextDelta" in process.world.kinds(run_id))

    # when they have passed
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then the call was left
    assert (process.models.left, process.ended(run_id)) == (1, TerminationReason.DEADLINE)


async def test_a_hand_back_leaves_the_run_to_the_next_server(process: Process) -> None:
    # given a run whose model is in the middle of an answer
    process.models.held.clear()
    process.start()
    run_id = process.submit()
    await process.until(lambda: "TextDelta" in process.world.kinds(run_id))

    # when the server drains
    process.drain.start()
    await process.executor.hand_back()

    # then the run waits for its turn, and the attempt did not count
    (dispatch,) = process.world.store.tables.dispatches.values()
    assert process.state(run_id) is RunState.WAITING
    assert (dispatch.attempt, dispatch.handoffs) == (0, 1)
    assert process.executor.running == 0


async def test_a_draining_server_claims_nothing(process: Process) -> None:
    # given a server that drains
    process.drain.start()
    process.start()

    # when a run is submitted
    run_id = process.submit()
    await turns()

    # then it is left to another one
    assert process.state(run_id) is RunState.QUEUED


async def test_a_run_that_was_taken_away_is_let_go(process: Process) -> None:
    # given a run whose model is in the middle of an answer
    process.models.held.clear()
    process.start()
    run_id = process.submit()
    await process.until(lambda: "TextDelta" in process.world.kinds(run_id))

    # when another server takes it over
    process.world.store.tables.leases.clear()
    before = process.world.kinds(run_id)
    process.world.clock.advance(RENEW_EVERY_S)
    await process.until(lambda: process.executor.running == 0)

    # then it wrote nothing more
    assert process.world.kinds(run_id) == before


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_server_that_cannot_renew_stops(process: Process, hangs: bool) -> None:
    # given a run whose model is in the middle of an answer, and a store that goes away or hangs
    process.models.held.clear()
    process.start()
    run_id = process.submit()
    await process.until(lambda: "TextDelta" in process.world.kinds(run_id))
    await turns()

    async def away(fn: object) -> None:
        if hangs:
            await asyncio.Event().wait()
        raise StoreUnavailableError("the database did not take the work")

    process.world.store.write = away  # type: ignore[assignment,method-assign]  # the store is away

    # when ten seconds have passed
    for _ in range(2):
        process.world.clock.advance(RENEW_EVERY_S)
        await turns()

    # then the run was let go without a word
    assert (process.models.left, process.executor.running) == (1, 0)
    assert process.state(run_id) is RunState.RUNNING


async def test_a_failure_that_could_not_be_recorded_is_found_out_later(process: Process) -> None:
    # given a run whose attempt fails while the store does not take the fact
    process.models.batches = [[TextDelta("half")]]
    here = process.world.execution.fail

    async def away(claimed: Claim, failure: Failure) -> None:
        raise StoreUnavailableError("the database did not take the work")

    process.world.execution.fail = away  # type: ignore[method-assign]  # this write is lost
    process.start()
    run_id = process.submit()
    await process.until(lambda: process.models.left == 1 and process.executor.running == 0)

    # when time passes on a server that is well otherwise
    process.world.execution.fail = here  # type: ignore[method-assign]  # the store is back
    process.models.batches = [[TextDelta("done"), END]]
    for _ in range(5):
        process.world.clock.advance(RENEW_EVERY_S)
        await turns()

    # then the run is tried again
    await process.until(lambda: process.state(run_id) is RunState.DONE)
    assert process.ended(run_id) is TerminationReason.NATURAL_END


async def test_a_pool_that_does_not_answer_costs_time_not_the_run(process: Process) -> None:
    # given a run that is woken with a message while the pool is away
    process.inbox.error = StoreUnavailableError("away")
    call = ToolCall("m0", "pool_wait", '{"pool_id": "room"}')
    process.models.batches = [[call, Finished(FinishReason.TOOL_CALLS)]]
    process.start()
    run_id = process.submit()
    await process.until(lambda: process.state(run_id) is RunState.WAITING)
    process.models.batches = [[TextDelta("done"), END]]
    process.world.wake(process.world.call().condition_id, run_id, message_ids=("m1",))
    process.notifier.ring(READY)
    await process.until(lambda: "AttemptFailed" in process.world.kinds(run_id))
    failed = process.world.last_event(AttemptFailed)

    # when the pool is back
    process.inbox.error = None
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then the run went on with its message
    assert (failed.retry_class, failed.will_retry) == ("throttled", True)
    assert process.ended(run_id) is TerminationReason.NATURAL_END


async def test_a_defect_in_a_model_call_is_an_error_of_the_attempt(process: Process) -> None:
    # given a client that fails in a way nobody foresaw
    process.models.batches = [[object()]]  # type: ignore[list-item]  # not an item
    process.start()

    # when a run is executed
    run_id = process.submit()
    await process.until(lambda: "AttemptFailed" in process.world.kinds(run_id))

    # then it is tried again, and nothing of the cause is told
    failed = process.world.last_event(AttemptFailed)
    assert (failed.retry_class, failed.reason) == ("error", "INTERNAL")


async def test_a_stream_without_an_end_is_an_interrupted_one(process: Process) -> None:
    # given a stream that just stops
    process.models.batches = [[TextDelta("half")]]
    process.start()

    # when a run is executed
    run_id = process.submit()
    await process.until(lambda: "AttemptFailed" in process.world.kinds(run_id))

    # then its answer is not taken for a whole one
    assert process.world.last_event(AttemptFailed).reason == "STREAM_INTERRUPTED"
    assert "MessageCommitted" in process.world.kinds(run_id)
    assert process.world.run(run_id).rounds == 0


async def test_an_answer_that_starts_over_tells_its_subscribers(process: Process) -> None:
    # given a stream that is started over by another member, before and after its first word
    process.models.batches = [
        [Restarted()],
        [TextDelta("half")],
        [Restarted(), TextDelta("whole")],
        [END],
    ]
    process.start()

    # when a run is executed
    run_id = process.submit()
    await process.until(lambda: process.state(run_id) is RunState.DONE)

    # then one reset is told, and the message covers what came after it
    committed = process.world.last_event(MessageCommitted)
    reset = process.world.last_event(StepReset)
    assert process.world.run(run_id).output_text == "whole"
    assert process.world.kinds(run_id).count("StepReset") == 1
    assert reset.from_run_seq < committed.covers_from_run_seq
