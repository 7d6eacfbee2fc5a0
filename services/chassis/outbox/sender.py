"""Delivery of commands to sibling services from the outbox table.

    write(state, put(row)) ─commit─► sender ─► deliver(row) ─► write(close row, settle(answer))

A row is delivered at least once and in the order of its lane; the receiver deduplicates by the
row's id. ``settle`` gets the answer, a response body or a permanent refusal, exactly once, in the
transaction that closes the row. After any other error the delivery is retried without limit,
which delays only its own lane. Several processes may send from one table: ``claims`` assigns lanes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Table

from services.chassis.clock import Clock
from services.chassis.errors import DomainError, StoreUnavailableError
from services.chassis.failpoints import failpoint
from services.chassis.follow.notifier import Notifier, Signal
from services.chassis.observe.names import ERROR_TYPE, OUTBOX_ATTEMPT, OUTBOX_ID, OUTBOX_KIND
from services.chassis.observe.telemetry import span
from services.chassis.outbox.claims import Claims, Grant, LeaseClaims, LeaseTuning, SoleSenderClaims
from services.chassis.outbox.metrics import tried
from services.chassis.outbox.rows import (
    CHANNEL,
    OutboxRow,
    lock_lane,
    row_of,
    statements_of,
)
from services.chassis.outbox.statements import RowState
from services.chassis.store.port import Store, Tx

_BEFORE_DELIVER = failpoint("outbox.before_deliver")
_AFTER_DELIVER = failpoint("outbox.after_deliver")
_BEFORE_CLOSE = failpoint("outbox.before_close")
_CLOSED = failpoint("outbox.closed")
_BEFORE_POSTPONE = failpoint("outbox.before_postpone")
_POSTPONED = failpoint("outbox.postponed")

# Longer error texts are cut off.
_TEXT_CHARS = 2_000

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver accepted the command; ``body`` is its encoded response."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver refused the command permanently; the row becomes a dead letter."""

    reason: str
    message: str


Answer: TypeAlias = Delivered | Refused
Deliver: TypeAlias = Callable[[OutboxRow], Awaitable[bytes]]
Settle: TypeAlias = Callable[[Tx, OutboxRow, Answer], None]


class RefusedError(Exception):
    """``deliver`` raises it for a permanent refusal."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class LeaseLostError(Exception):
    """The row is closed or another sender holds its lane; raised to roll back the settlement."""


@dataclass(frozen=True, slots=True)
class SenderTuning:
    """Limits of one sender.

    Attributes:
        lanes: Most concurrent deliveries, each from a different lane.
        rows_per_turn: Rows delivered from one lane before another lane gets a turn.
        first_pause_s: Longest random pause after the first failure; doubles with each failure.
        longest_pause_s: Bound of the doubling; a receiver may ask for a longer pause.
        deliver_limit_s: Time-out of a delivery.
        poll_s: Longest wait for a notification before reading the table anyway.
        keep_s: How long a delivered or dead row is kept.
        lease: Lease durations, for a store that several processes share.
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
    lease: LeaseTuning = field(default_factory=LeaseTuning)


class OutboxSender:
    """Delivers the rows of ``table``; a process has one.

    Args:
        deliver: One function per row kind, which sends the command and returns the encoded
            response. It raises RefusedError for a permanent refusal; any other error causes a
            retry, at the earliest after the ``retry_after_s`` of a DomainError.
        settle: Applies the answer in the transaction that closes the row; it must lock the
            rows that it changes before it reads them.
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
        self._store = store
        self._sql = statements_of(table)
        self._notifier = notifier
        self._clock = clock
        self._deliver = deliver
        self._settle = settle
        self._tuning = tuning or SenderTuning()
        self._rng = rng or random.Random()  # noqa: S311  # no secret
        self._claims = self._claims_on(store)
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._prune_at_s = clock.monotonic_s()

    def _claims_on(self, store: Store) -> Claims:
        if store.sole_owner:
            return SoleSenderClaims(store, self._sql, self._clock)
        return LeaseClaims(store, self._sql, self._clock, self._tuning.lease, self._rng)

    async def run(self) -> None:
        """Deliver until cancelled; the next run repeats the deliveries that were running."""
        self._claims.begin()
        keeper = asyncio.ensure_future(self._claims.keep(self._on_lost))
        with self._notifier.signal(CHANNEL) as signal:
            try:
                while True:
                    await self._woken(signal, await self._look())
            finally:
                under_way = [keeper, *self._lanes.values()]
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)
                self._lanes.clear()
                await self._claims.end()

    async def _look(self) -> datetime:
        """Start due deliveries; return the latest time for the next look."""
        latest = self._clock.now() + timedelta(seconds=self._tuning.poll_s)
        try:
            next_due_at = await self._begin()
            await self._prune()
        except StoreUnavailableError:
            _LOG.exception("outbox could not be read")
            return latest
        return latest if next_due_at is None else min(latest, next_due_at)

    async def _woken(self, signal: Signal, until: datetime) -> None:
        """Wait for a notification, until ``until``, or until a lane's task ends."""
        pause_s = (until - self._clock.now()).total_seconds()
        notified = asyncio.ensure_future(signal.wait(pause_s))
        try:
            waits = {notified, *self._lanes.values()}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            notified.cancel()
        self._lanes = {lane: task for lane, task in self._lanes.items() if not task.done()}

    async def _begin(self) -> datetime | None:
        """Start delivering each due lane; return the due time of the next one."""
        free = self._tuning.lanes - len(self._lanes)
        heads, next_due_at = await self._claims.take(free, self._lanes.keys())
        for row in heads:
            before = self._lanes.get(row.lane)
            if before is not None:
                before.cancel()
            self._lanes[row.lane] = asyncio.ensure_future(self._serve(row, before))
        return next_due_at

    async def _serve(self, head: OutboxRow, before: asyncio.Task[None] | None) -> None:
        """Deliver rows of one lane until it is empty or blocked, or its turn ends.

        Args:
            before: The cancelled task that served the lane before it lost its lease.
        """
        if before is not None:
            await asyncio.wait({before})
        row: OutboxRow | None = head
        for rows_left in reversed(range(self._tuning.rows_per_turn)):
            if row is None:
                break
            row = await self._step(row, goes_on=rows_left > 0)
        await self._claims.release(head.lane)

    def _on_lost(self, lane: str) -> None:
        if lane in self._lanes:
            self._lanes[lane].cancel()

    async def _step(self, row: OutboxRow, *, goes_on: bool) -> OutboxRow | None:
        """Deliver and close ``row``; return the next one, or None to leave the lane."""
        try:
            answer = await self._answer(row)
            return await self._end(row, answer, goes_on=goes_on)
        except LeaseLostError:
            _LOG.info(
                "outbox lease lost before the row was closed",
                extra={"kind": row.kind, "row": row.id},
            )
            return None
        except Exception as error:
            _LOG.warning(
                "outbox row not delivered",
                extra={"kind": row.kind, "row": row.id, "attempt": row.attempts + 1},
                exc_info=not isinstance(error, DomainError),
            )
            await self._postpone(row, error)
            return None

    async def _answer(self, row: OutboxRow) -> Answer:
        attributes = {OUTBOX_ID: row.id, OUTBOX_KIND: row.kind, OUTBOX_ATTEMPT: row.attempts + 1}
        name = f"outbox {row.kind}"
        with span(
            name, kind=SpanKind.CLIENT, parent=row.traceparent, attributes=attributes
        ) as sending:
            try:
                async with asyncio.timeout(self._tuning.deliver_limit_s):
                    _BEFORE_DELIVER.reach()
                    body = await self._deliver[row.kind](row)
                    _AFTER_DELIVER.reach()
                    return Delivered(body)
            except RefusedError as error:
                sending.set_attribute(ERROR_TYPE, error.reason)
                sending.set_status(StatusCode.ERROR)
                return Refused(_storable(error.reason), _storable(error.message))

    async def _end(self, row: OutboxRow, answer: Answer, *, goes_on: bool) -> OutboxRow | None:
        holder, grant = self._claims.holder, self._claims.next_grant(row.lane, goes_on=goes_on)
        following = await self._store.write(lambda tx: self._close(tx, row, answer, holder, grant))
        if following is None:
            self._claims.forget(row.lane)
        else:
            self._claims.record_grant(row.lane, grant)
        tried(row, "dead" if isinstance(answer, Refused) else "delivered", self._clock.now())
        _CLOSED.reach()
        return following

    def _close(
        self, tx: Tx, row: OutboxRow, answer: Answer, holder: str, grant: Grant
    ) -> OutboxRow | None:
        # First, for the lock order: ``settle`` locks an aggregate, which is locked before a lane.
        self._settle(tx, row, answer)
        lock_lane(tx, row.lane)
        _BEFORE_CLOSE.reach()
        refused = isinstance(answer, Refused)
        closed = tx.changed(
            self._sql.close,
            of_lane=row.lane,
            of_seq=row.seq,
            of_holder=holder,
            now=self._clock.now(),
            to_state=RowState.DEAD if refused else RowState.DELIVERED,
            to_payload=row.payload if refused else b"",
            to_reason=answer.reason if isinstance(answer, Refused) else "",
            to_message=answer.message if isinstance(answer, Refused) else "",
        )
        if not closed:
            raise LeaseLostError
        following = tx.one(
            self._sql.promote,
            of_lane=row.lane,
            of_seq=row.seq,
            to_due_at=grant.due_at,
            to_holder=grant.holder,
        )
        return None if following is None else row_of(following)

    async def _postpone(self, row: OutboxRow, error: Exception) -> None:
        pause_s = self._pause_s(row.attempts, error)
        known = isinstance(error, DomainError)
        reason = error.reason if isinstance(error, DomainError) else "INTERNAL"
        # The text of an unexpected error may hold user data.
        message = str(error) if known else type(error).__qualname__
        holder = self._claims.holder
        try:
            _BEFORE_POSTPONE.reach()
            postponed = await self._store.write(
                lambda tx: tx.changed(
                    self._sql.postpone,
                    of_lane=row.lane,
                    of_seq=row.seq,
                    of_holder=holder,
                    to_due_at=self._clock.now() + timedelta(seconds=pause_s),
                    to_reason=_storable(reason),
                    to_message=_storable(message),
                )
            )
            if postponed:
                tried(row, "postponed", self._clock.now())
                self._claims.forget(row.lane)
            _POSTPONED.reach()
        except Exception:
            # The row is still due: keep its lane occupied during the pause.
            _LOG.exception("outbox row could not be postponed", extra={"row": row.id})
            await self._clock.sleep(pause_s)

    def _pause_s(self, failures: int, error: Exception) -> float:
        """Return a random pause up to a bound that doubles, to spread the retries of senders."""
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
            lambda tx: [
                tx.changed(self._sql.prune, of_state=state, before=before, limit=limit)
                for state in (RowState.DELIVERED, RowState.DEAD)
            ]
        )
        self._prune_at_s = now_s + (0.0 if limit in pruned else self._tuning.prune_every_s)


def _storable(text: str) -> str:
    """Return ``text`` without characters that a database refuses, so that it can be stored."""
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return clean[:_TEXT_CHARS]
