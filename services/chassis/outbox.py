"""Commands to sibling services: written with the state change that causes them, then delivered.

    write(state, put(row)) ─commit─► sender ─► deliver(row) ─► write(close row, settle(answer))

A row is delivered at least once and in the order of its lane; the receiver deduplicates on the
row's id. Its answer, a body or a permanent refusal, is given to ``settle`` in the transaction that
closes the row, exactly once. Everything else that goes wrong is tried again, for ever, and holds
up its own lane alone. Several processes may send from one table: ``outbox_claims`` says which of
them has a lane.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Table

from services.chassis.clock import Clock
from services.chassis.errors import DomainError, StoreUnavailableError
from services.chassis.failpoints import failpoint
from services.chassis.notifier import Bell, Notifier
from services.chassis.outbox_claims import Alone, Claims, Grant, Leased, LeaseTuning
from services.chassis.outbox_metrics import tried
from services.chassis.outbox_rows import (
    CHANNEL,
    DeadPlace,
    DeadRow,
    OutboxRow,
    RowState,
    dead_rows,
    lock_lane,
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
    "DeadPlace",
    "DeadRow",
    "Delivered",
    "LeaseTuning",
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

_BEFORE_DELIVER = failpoint("outbox.before_deliver")
_AFTER_DELIVER = failpoint("outbox.after_deliver")
_BEFORE_CLOSE = failpoint("outbox.before_close")
_CLOSED = failpoint("outbox.closed")
_BEFORE_POSTPONE = failpoint("outbox.before_postpone")
_POSTPONED = failpoint("outbox.postponed")

# Longer texts of a failure say no more.
_TEXT_CHARS = 2_000

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


class _OtherHandsError(Exception):
    """The row is closed, or its lane somebody else's; undoes what was done on its answer."""


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
        lease: For a store that several processes share.
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
    """Delivers what is in ``table``; one per process.

    Args:
        deliver: By row kind: sends the command and returns the encoded response. Raises
            RefusedError for a permanent refusal; any other error means again later, after the
            ``retry_after_s`` of a DomainError at the earliest.
        settle: Applies the answer, in the transaction that closes the row; locks what it changes
            before it reads it.
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
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, keeps no secret
        self._claims = self._claims_on(store)
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._prune_at_s = clock.monotonic_s()

    def _claims_on(self, store: Store) -> Claims:
        if store.sole_owner:
            return Alone(store, self._sql, self._clock)
        return Leased(store, self._sql, self._clock, self._tuning.lease, self._rng)

    async def run(self) -> None:
        """Deliver until cancelled; what was under way then is delivered again by the next run."""
        self._claims.begin()
        keeper = asyncio.ensure_future(self._claims.keep(self._lose))
        with self._notifier.bell(CHANNEL) as bell:
            try:
                while True:
                    await self._woken(bell, await self._look())
            finally:
                under_way = [keeper, *self._lanes.values()]
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)
                self._lanes.clear()
                await self._claims.end()

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
        free = self._tuning.lanes - len(self._lanes)
        heads, next_due_at = await self._claims.take(free, self._lanes.keys())
        for row in heads:
            before = self._lanes.get(row.lane)
            if before is not None:
                before.cancel()
            self._lanes[row.lane] = asyncio.ensure_future(self._serve(row, before))
        return next_due_at

    async def _serve(self, head: OutboxRow, before: asyncio.Task[None] | None) -> None:
        """Deliver rows of one lane until it is empty, blocked, or has had its turn.

        Args:
            before: Served the lane until its lease was lost, and may not have ended yet.
        """
        if before is not None:
            await asyncio.wait({before})
        row: OutboxRow | None = head
        for rows_left in reversed(range(self._tuning.rows_per_turn)):
            if row is None:
                break
            row = await self._step(row, goes_on=rows_left > 0)
        await self._claims.leave(head.lane)

    def _lose(self, lane: str) -> None:
        if lane in self._lanes:
            self._lanes[lane].cancel()

    async def _step(self, row: OutboxRow, *, goes_on: bool) -> OutboxRow | None:
        """Deliver and close ``row``; answer the one behind it, or None to leave the lane."""
        try:
            answer = await self._answer(row)
            return await self._end(row, answer, goes_on=goes_on)
        except _OtherHandsError:
            _LOG.info("outbox row was in other hands", extra={"kind": row.kind, "row": row.id})
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
        attributes = {ROW_ID: row.id, ROW_KIND: row.kind, ROW_ATTEMPT: row.attempts + 1}
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
        holder, grant = self._claims.holder, self._claims.grant(row.lane, goes_on=goes_on)
        following = await self._store.write(lambda tx: self._close(tx, row, answer, holder, grant))
        if following is None:
            self._claims.left(row.lane)
        else:
            self._claims.granted(row.lane, grant)
        tried(row, "dead" if isinstance(answer, Refused) else "delivered", self._clock.now())
        _CLOSED.reach()
        return following

    def _close(
        self, tx: Tx, row: OutboxRow, answer: Answer, holder: str, grant: Grant
    ) -> OutboxRow | None:
        # First, since it locks an aggregate: whoever puts locks that before the lane, too.
        self._settle(tx, row, answer)
        lock_lane(tx, row.lane)
        _BEFORE_CLOSE.reach()
        refused = isinstance(answer, Refused)
        closed = tx.run(
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
            raise _OtherHandsError
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
        # The text of an unforeseen error may be a user's.
        message = str(error) if known else type(error).__qualname__
        holder = self._claims.holder
        try:
            _BEFORE_POSTPONE.reach()
            postponed = await self._store.write(
                lambda tx: tx.run(
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
                self._claims.left(row.lane)
            _POSTPONED.reach()
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


def _storable(text: str) -> str:
    """``text`` as any database takes it; else the row that failed could not even be set aside."""
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return clean[:_TEXT_CHARS]
