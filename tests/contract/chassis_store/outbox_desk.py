"""A sender with a scripted receiver, for the tests of the outbox."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select

from services.chassis.clock import Clock
from services.chassis.notifier import LocalNotifier
from services.chassis.outbox import (
    Answer,
    Delivered,
    OutboxRow,
    OutboxSender,
    RefusedError,
    SenderTuning,
    put,
)
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine, ids
from tests.contract.chassis_store.schema import ADD, outbox
from tests.support.clock import ManualClock

# A wake-up takes a few turns of the loop to arrive, in which nothing seems to happen.
_TURNS = 20

REFUSE = RefusedError("UNKNOWN_RUN", "no such run")


STATES = statement(
    select(outbox.c.id, outbox.c.state, outbox.c.attempts, outbox.c.payload, outbox.c.reason)
    .order_by(outbox.c.lane, outbox.c.seq)
)  # fmt: skip


class LongestPause(random.Random):
    """Always draws the bound, so that a test knows when a retry is due."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Receiver:
    """Answers each delivery from the script of its row: None delivers, an error is raised."""

    def __init__(self) -> None:
        self.scripts: defaultdict[str, list[Exception | None]] = defaultdict(list)
        self.rows: list[OutboxRow] = []
        self.under_way = 0
        self.most_under_way = 0
        self.gates: dict[str, asyncio.Event] = {}

    async def deliver(self, row: OutboxRow) -> bytes:
        self.rows.append(row)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if row.id in self.gates:
                await self.gates[row.id].wait()
            outcome = self.scripts[row.id].pop(0) if self.scripts[row.id] else None
            if outcome is not None:
                raise outcome
            return b"answer to " + row.payload
        finally:
            self.under_way -= 1

    def ids(self, lane: str | None = None) -> list[str]:
        return [row.id for row in self.rows if lane in {None, row.lane}]


class Desk:
    """One store, one sender, one receiver; ``settle`` leaves an account row per answer."""

    def __init__(
        self, store: Store, notifier: LocalNotifier, clock: Clock, tuning: SenderTuning
    ) -> None:
        self.store = store
        self.receiver = Receiver()
        self.notifier = notifier
        self.clock = clock
        self.tuning = tuning
        self.sender = self._new_sender()
        self._task: asyncio.Task[None] | None = None

    def _new_sender(self) -> OutboxSender:
        return OutboxSender(
            self.store,
            outbox,
            self.notifier,
            self.clock,
            {"greet": self._deliver},
            self._settle,
            tuning=self.tuning,
            rng=LongestPause(),
        )

    def settle(self, tx: Tx, row: OutboxRow, answer: Answer) -> None:
        text = answer.body.decode() if isinstance(answer, Delivered) else answer.reason
        tx.run(ADD, id=f"{row.id}: {text}", balance=0)

    # Looked up late: tests put others in their place.
    async def _deliver(self, row: OutboxRow) -> bytes:
        return await self.receiver.deliver(row)

    def _settle(self, tx: Tx, row: OutboxRow, answer: Answer) -> None:
        self.settle(tx, row, answer)

    async def put(self, *rows: str, kind: str = "greet", traceparent: str = "") -> None:
        """Put rows named ``lane/id`` in one transaction."""
        now = self.clock.now()

        def closure(tx: Tx) -> None:
            for name in rows:
                lane, _, id_ = name.partition("/")
                payload = id_.encode()
                put(
                    tx, outbox, id=id_, lane=lane, kind=kind, payload=payload,
                    traceparent=traceparent, now=now,
                )  # fmt: skip

        await self.store.write(closure)

    async def answers(self) -> list[str]:
        """What was settled: the ids of rows and their answers."""
        return await ids(self.store)

    def start(self) -> None:
        self.sender = self._new_sender()
        self._task = asyncio.ensure_future(self.sender.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def quiet(self) -> None:
        """Return when the sender waits for a ring or for time, with nothing under way."""
        turns = 0
        while turns < _TURNS:
            await asyncio.sleep(0)
            turns = turns + 1 if self._is_quiet() else 0

    async def after(self, seconds: float) -> None:
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)
        await self.quiet()

    def _is_quiet(self) -> bool:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        bells = self.notifier._bells.get("outbox", ())
        waiting = all(bell._waiter is not None and not bell._rung for bell in bells)
        return bool(bells) and waiting and not self.sender._lanes


async def states(desk: Desk) -> dict[str, int]:
    return {row.id: row.state for row in await desk.store.fetch(STATES)}


@asynccontextmanager
async def desk(
    engine: Engine, *, clock: Clock | None = None, tuning: SenderTuning | None = None
) -> AsyncIterator[Desk]:
    clock = clock or ManualClock()
    notifier = LocalNotifier(clock)
    async with engine.open(notifier=notifier, clock=clock) as store:
        opened = Desk(store, notifier, clock, tuning or SenderTuning())
        try:
            yield opened
        finally:
            await opened.stop()
