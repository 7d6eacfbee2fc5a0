"""Commands to sibling services: written with the state change that causes them, then delivered.

    write(state, put(row)) ─commit─► sender ─► deliver(row) ─► write(close row, settle(answer))

A row is delivered at least once and in the order of its lane; the receiver deduplicates on the
row's id. Its answer, a body or a permanent refusal, is given to ``settle`` in the transaction that
closes the row, exactly once. Everything else that goes wrong is tried again, for ever, and holds
up its own lane alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Table

from services.chassis.clock import Clock
from services.chassis.errors import DomainError, StoreUnavailableError
from services.chassis.notifier import Bell, Notifier
from services.chassis.outbox_rows import (
    CHANNEL,
    DeadRow,
    OutboxRow,
    RowState,
    dead_rows,
    outbox_table,
    put,
    redrive,
    row_of,
    statements_of,
)
from services.chassis.store.port import Store, Tx
from services.chassis.telemetry import span
from services.chassis.telemetry_names import ERROR_TYPE

__all__ = [
    "CHANNEL",
    "Answer",
    "DeadRow",
    "Delivered",
    "OutboxRow",
    "OutboxSender",
    "Refused",
    "RefusedError",
    "RowState",
    "SenderTuning",
    "dead_rows",
    "outbox_table",
    "put",
    "redrive",
]

ROW_ID: Final = "runyard.outbox.id"
ROW_KIND: Final = "runyard.outbox.kind"
ROW_ATTEMPT: Final = "runyard.outbox.attempt"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took the command; ``body`` is its encoded response."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take the command; the row is a dead letter."""

    reason: str
    message: str


Answer: TypeAlias = Delivered | Refused
Deliver: TypeAlias = Callable[[OutboxRow], Awaitable[bytes]]
Settle: TypeAlias = Callable[[Tx, OutboxRow, Answer], None]


class RefusedError(Exception):
    """Raised by ``deliver`` for a refusal that no repeat can change."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class SenderTuning:
    """Numbers of one sender.

    Attributes:
        lanes: Deliveries under way at once, each of another lane.
        rows_per_turn: Rows of one lane before another lane gets its place.
        first_pause_s: Bound of the first random pause after a failure; doubles with each.
        longest_pause_s: Where the doubling ends; a receiver may still ask for a longer one.
        deliver_limit_s: A delivery that takes longer has failed.
        poll_s: Pause before looking without having been rung.
        keep_s: How long a delivered row is remembered.
    """

    lanes: int = 32
    rows_per_turn: int = 32
    first_pause_s: float = 0.25
    longest_pause_s: float = 60.0
    deliver_limit_s: float = 60.0
    poll_s: float = 5.0
    keep_s: float = 7 * 86_400.0
    prune_every_s: float = 600.0
    prune_rows: int = 500


class OutboxSender:
    """Delivers what is in ``table``; one per process.

    Args:
        deliver: By row kind: sends the command and returns the encoded response. Raises
            RefusedError for a permanent refusal; any other error means again later, after the
            ``retry_after_s`` of a DomainError at the earliest.
        settle: Applies the answer, in the transaction that closes the row.
    """

    def __init__(
        self,
        store: Store,
        table: Table,
        notifier: Notifier,
        clock: Clock,
        deliver: Mapping[str, Deliver],
        settle: Settle,
        *,
        tuning: SenderTuning | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if not store.sole_owner:
            raise ValueError("lanes of a shared store have to be claimed, which this sender cannot")
        self._store = store
        self._sql = statements_of(table)
        self._notifier = notifier
        self._clock = clock
        self._deliver = deliver
        self._settle = settle
        self._tuning = tuning or SenderTuning()
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, keeps no secret
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._prune_at_s = clock.monotonic_s()

    async def run(self) -> None:
        """Deliver until cancelled; what was under way then is delivered again by the next run."""
        with self._notifier.bell(CHANNEL) as bell:
            try:
                while True:
                    await self._woken(bell, await self._look())
            finally:
                under_way = list(self._lanes.values())
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)
                self._lanes.clear()

    async def _look(self) -> datetime:
        """Begin what is due; answer when to look again at the latest."""
        latest = self._clock.now() + timedelta(seconds=self._tuning.poll_s)
        try:
            next_due_at = await self._begin()
            await self._prune()
        except StoreUnavailableError:
            _LOG.exception("outbox could not be read")
            return latest
        return latest if next_due_at is None else min(latest, next_due_at)

    async def _woken(self, bell: Bell, until: datetime) -> None:
        """Wait for a ring, for an instant, or for a lane to give its place back."""
        pause_s = (until - self._clock.now()).total_seconds()
        rung = asyncio.ensure_future(bell.wait(pause_s))
        try:
            waits = {rung, *self._lanes.values()}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()
        self._lanes = {lane: task for lane, task in self._lanes.items() if not task.done()}

    async def _begin(self) -> datetime | None:
        """Begin a delivery in every lane that is due and free; answer when another falls due."""
        now = self._clock.now()
        heads, next_due_at = await self._store.read(lambda tx: self._heads(tx, now))
        for row in heads:
            if len(self._lanes) >= self._tuning.lanes:
                break
            if row.lane not in self._lanes:
                self._lanes[row.lane] = asyncio.ensure_future(self._serve(row))
        return next_due_at

    def _heads(self, tx: Tx, now: datetime) -> tuple[list[OutboxRow], datetime | None]:
        # Heads under way are due as well; among as many as there are places, enough are not.
        limit = self._tuning.lanes
        heads = [row_of(row) for row in tx.all(self._sql.due, now=now, limit=limit)]
        return heads, tx.all(self._sql.next_due, now=now)[0].due_at

    async def _serve(self, head: OutboxRow) -> None:
        """Deliver rows of one lane until it is empty, blocked, or has had its turn."""
        row: OutboxRow | None = head
        for _ in range(self._tuning.rows_per_turn):
            if row is None:
                return
            row = await self._step(row)

    async def _step(self, row: OutboxRow) -> OutboxRow | None:
        """Deliver and close ``row``; answer the one behind it, or None to leave the lane."""
        try:
            answer = await self._answer(row)
            return await self._store.write(lambda tx: self._close(tx, row, answer))
        except Exception as error:
            _LOG.warning(
                "outbox row not delivered",
                extra={"kind": row.kind, "row": row.id, "attempt": row.attempts + 1},
                exc_info=not isinstance(error, DomainError),
            )
            await self._postpone(row, error)
            return None

    async def _answer(self, row: OutboxRow) -> Answer:
        attributes = {ROW_ID: row.id, ROW_KIND: row.kind, ROW_ATTEMPT: row.attempts + 1}
        name = f"outbox {row.kind}"
        with span(
            name, kind=SpanKind.CLIENT, parent=row.traceparent, attributes=attributes
        ) as sending:
            try:
                async with asyncio.timeout(self._tuning.deliver_limit_s):
                    return Delivered(await self._deliver[row.kind](row))
            except RefusedError as error:
                sending.set_attribute(ERROR_TYPE, error.reason)
                sending.set_status(StatusCode.ERROR)
                return Refused(error.reason, error.message)

    def _close(self, tx: Tx, row: OutboxRow, answer: Answer) -> OutboxRow | None:
        now = self._clock.now()
        refused = isinstance(answer, Refused)
        closed = tx.run(
            self._sql.close,
            lane=row.lane,
            seq=row.seq,
            now=now,
            to_state=RowState.DEAD if refused else RowState.DELIVERED,
            to_payload=row.payload if refused else b"",
            to_reason=answer.reason if isinstance(answer, Refused) else "",
            to_message=answer.message if isinstance(answer, Refused) else "",
        )
        if not closed:  # settled before; its answer has been applied
            return None
        following = tx.one(self._sql.promote, lane=row.lane, seq=row.seq, now=now)
        self._settle(tx, row, answer)
        return None if following is None else row_of(following)

    async def _postpone(self, row: OutboxRow, error: Exception) -> None:
        pause_s = self._pause_s(row.attempts, error)
        due_at = self._clock.now() + timedelta(seconds=pause_s)
        known = isinstance(error, DomainError)
        try:
            await self._store.write(
                lambda tx: tx.run(
                    self._sql.postpone,
                    lane=row.lane,
                    seq=row.seq,
                    to_due_at=due_at,
                    to_reason=error.reason if isinstance(error, DomainError) else "INTERNAL",
                    # The text of an unforeseen error may be a user's.
                    to_message=str(error) if known else type(error).__qualname__,
                )
            )
        except Exception:
            # The row still counts as due: keep its lane taken instead.
            _LOG.exception("outbox row could not be postponed", extra={"row": row.id})
            await self._clock.sleep(pause_s)

    def _pause_s(self, failures: int, error: Exception) -> float:
        """Anywhere up to a bound that doubles: senders that failed together return apart."""
        bound_s = min(
            self._tuning.longest_pause_s, self._tuning.first_pause_s * 2 ** min(failures, 16)
        )
        asked_s = error.retry_after_s if isinstance(error, DomainError) else None
        return max(asked_s or 0.0, self._rng.uniform(0.0, bound_s))

    async def _prune(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._prune_at_s:
            return
        before = self._clock.now() - timedelta(seconds=self._tuning.keep_s)
        limit = self._tuning.prune_rows
        pruned = await self._store.write(
            lambda tx: tx.run(self._sql.prune, before=before, limit=limit)
        )
        self._prune_at_s = now_s + (0.0 if pruned == limit else self._tuning.prune_every_s)
