"""Senders with a scripted receiver, for the tests of the outbox."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import bindparam, select

from services.chassis.clock import Clock
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.outbox.rows import OutboxRow, put
from services.chassis.outbox.sender import (
    Answer,
    Delivered,
    OutboxSender,
    RefusedError,
    SenderTuning,
    Settle,
)
from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.statement import statement, upsert
from tests.contract.chassis_store.engines import Engine, ids
from tests.contract.chassis_store.outbox.stores import View
from tests.contract.chassis_store.schema import ADD, account, outbox
from tests.support.clock import ManualClock

# A wake-up takes a few turns of the loop to arrive, in which nothing seems to happen.
_TURNS = 20

REFUSE = RefusedError("UNKNOWN_RUN", "no such run")

_STATES = statement(
    select(outbox.c.id, outbox.c.state, outbox.c.attempts, outbox.c.payload, outbox.c.reason)
    .order_by(outbox.c.lane, outbox.c.seq)
)  # fmt: skip
_HEADS = statement(
    select(outbox.c.lane, outbox.c.seq, outbox.c.id, outbox.c.due_at, outbox.c.holder)
    .where(outbox.c.due_at.is_not(None))
    .order_by(outbox.c.lane)
)
_EMPTY = [statement(outbox.delete()), statement(account.delete())]
_COUNTS = statement(select(account.c.id, account.c.balance).order_by(account.c.id))
_COUNT = statement(
    upsert(account)
    .values(id=bindparam("id"), balance=1)
    .on_conflict_do_update(index_elements=["id"], set_={"balance": account.c.balance + 1})
)


class LongestPause(random.Random):
    """Always draws the bound, so that a test knows when a retry is due."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Receiver:
    """Answers each delivery from the script of its row: None delivers, an error is raised.

    Attributes:
        gates: By row id: deliveries wait there.
        waiting: Deliveries at a gate.
        most_in_a_lane: Most deliveries of one lane that were under way at once.
        on_arrival: Called with each row first.
    """

    def __init__(self) -> None:
        self.scripts: defaultdict[str, list[Exception | None]] = defaultdict(list)
        self.rows: list[OutboxRow] = []
        self.under_way = 0
        self.most_under_way = 0
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting = 0
        self.most_in_a_lane = 0
        self.on_arrival: Callable[[OutboxRow], object] = repr
        self._in_lane: Counter[str] = Counter()

    async def deliver(self, row: OutboxRow) -> bytes:
        self.on_arrival(row)
        self.rows.append(row)
        self._count(row.lane, +1)
        try:
            await self._wait_at_gate(row.id)
            outcome = self.scripts[row.id].pop(0) if self.scripts[row.id] else None
            if outcome is not None:
                raise outcome
            return b"answer to " + row.payload
        finally:
            self._count(row.lane, -1)

    async def _wait_at_gate(self, id_: str) -> None:
        gate = self.gates.get(id_)
        if gate is None or gate.is_set():
            return
        self.waiting += 1
        try:
            await gate.wait()
        finally:
            self.waiting -= 1

    def _count(self, lane: str, one: int) -> None:
        self.under_way += one
        self._in_lane[lane] += one
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.most_in_a_lane = max(self.most_in_a_lane, self._in_lane[lane])

    def ids(self, lane: str | None = None) -> list[str]:
        return [row.id for row in self.rows if lane in {None, row.lane}]


class Sender:
    """The sender of one process, with its store and its receiver."""

    def __init__(
        self,
        store: Store,
        notifier: LocalNotifier,
        clock: Clock,
        tuning: SenderTuning,
        receiver: Receiver | None = None,
    ) -> None:
        self.store = self.view = View(store, sole_owner=store.sole_owner)
        self.receiver = receiver or Receiver()
        self.settle: Settle = add_answer
        self.notifier = notifier
        self.clock = clock
        self.tuning = tuning
        self._real_store = store
        self._task: asyncio.Task[None] | None = None

    def beside(self, *, clock: Clock | None = None, receiver: Receiver | None = None) -> Sender:
        """Another sender on the same database, as another process would be."""
        clock = clock or self.clock
        return Sender(self._real_store, self.notifier, clock, self.tuning, receiver)

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

    async def send(self, *rows: str) -> None:
        """Put rows, start, and wait until there is nothing to do."""
        await self.put(*rows)
        await self.run()

    async def run(self) -> None:
        """Start, and wait until there is nothing to do."""
        self.start()
        await self.quiet()

    async def answers(self) -> list[str]:
        """What was settled: the ids of rows and their answers."""
        return await ids(self.store)

    async def counts(self) -> dict[str, int]:
        """How often each answer was settled."""
        return {row.id: row.balance for row in await self.store.fetch(_COUNTS)}

    async def rows(self) -> list[Row]:
        return await self.store.fetch(_STATES)

    async def states(self) -> dict[str, int]:
        return {row.id: row.state for row in await self.rows()}

    async def heads(self) -> list[Row]:
        """Of each lane the row that is due, with its holder."""
        return await self.store.fetch(_HEADS)

    async def empty(self) -> None:
        """Remove every row and every answer."""
        await self.store.write(lambda tx: [tx.changed(each) for each in _EMPTY])

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        self.outbox_sender = OutboxSender(
            self.store,
            outbox,
            self.notifier,
            self.clock,
            {"greet": self.receiver.deliver},
            self.settle,
            tuning=self.tuning,
            rng=LongestPause(),
        )
        self._task = asyncio.ensure_future(self.outbox_sender.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def quiet(self) -> None:
        await quiet(self)

    async def after(self, seconds: float) -> None:
        await self.quiet()  # else what begins to wait now would wait from then on
        self.advance(seconds)
        await self.quiet()

    def advance(self, seconds: float) -> None:
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)

    def activity(self) -> tuple[int, int, int] | None:
        """What moves while a sender is at work; None while it waits for its store or receiver.

        Raises what ended the sender.
        """
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
        received = self.receiver
        if self.view.under_way or received.under_way > received.waiting:
            return None
        return self.view.calls, len(received.rows), received.under_way


async def quiet(*senders: Sender) -> None:
    """Return when every sender waits for a notification, for time, or for deliveries at a gate."""
    turns, before = 0, None
    while turns < _TURNS:
        await asyncio.sleep(0)
        now = [sender.activity() for sender in senders]
        turns = turns + 1 if now == before and None not in now else 0
        before = now


def named(row: OutboxRow, answer: Answer) -> str:
    text = answer.body.decode() if isinstance(answer, Delivered) else answer.reason
    return f"{row.id}: {text}"


def add_answer(tx: Tx, row: OutboxRow, answer: Answer) -> None:
    """Leaves an account row per answer, so that a second one of a row fails."""
    tx.run(ADD, id=named(row, answer), balance=0)


def count_answer(tx: Tx, row: OutboxRow, answer: Answer) -> None:
    """Counts how often each answer was settled."""
    tx.run(_COUNT, id=named(row, answer))


@asynccontextmanager
async def open_sender(
    engine: Engine, *, clock: Clock | None = None, tuning: SenderTuning | None = None
) -> AsyncIterator[Sender]:
    clock = clock or ManualClock()
    notifier = LocalNotifier(clock)
    async with engine.open(notifier=notifier) as store:
        opened = Sender(store, notifier, clock, tuning or SenderTuning())
        try:
            yield opened
        finally:
            await opened.stop()
