"""The ports through which the use cases read and write their store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from services.chassis.caller import RequestLog
from services.pool.core.events import DueTimer, Event, Timer, TimerKind, Wake
from services.pool.core.filters import IndexKey
from services.pool.core.model import (
    Address,
    Delivery,
    InlineBody,
    Member,
    MessageRecord,
    Pool,
    Reply,
)

T = TypeVar("T")

# The state that a log record led to, from which the pool can be rebuilt.
Fact = Pool | Member | MessageRecord | Wake


@dataclass(frozen=True, slots=True)
class MemberQuery:
    """A page of members; an empty field does not restrict it.

    Attributes:
        after_run_id: The last run of the page before.
    """

    limit: int
    after_run_id: str = ""
    agent_id: str = ""
    topic: str = ""


class Reads(Protocol):
    """A consistent view of the pools of one tenant."""

    def pool(self, pool_id: str) -> Pool | None: ...

    def members(self, pool_id: str, query: MemberQuery) -> Sequence[Member]:
        """By run id."""

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None: ...

    def body(self, pool_id: str, message_id: str) -> InlineBody | None:
        """None for a reference, and once its retention has passed."""

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]:
        """By run."""

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]:
        """In order of arrival."""

    def wake(self, pool_id: str, condition_id: str) -> Wake | None: ...


class Tx(Reads, RequestLog, Protocol):
    """One transaction of one tenant."""

    def lock_pool(self, pool_id: str) -> Pool | None:
        """The pool; no other transaction can change anything in it until this one ends."""

    def try_lock_pool(self, pool_id: str) -> bool:
        """Lock an existing pool, unless another transaction has: then False, at once."""

    def insert_pool(self, pool: Pool) -> None: ...

    def save_pool(self, pool: Pool) -> None: ...

    def append(self, pool_id: str, event: Event, fact: Fact, actor: str) -> None:
        """Add a record to the log, under ``event.sequence``."""

    def events_after(
        self, pool_id: str, after: int, limit: int, key: IndexKey | None
    ) -> Sequence[Event]:
        """Events in order; with a ``key``, of a ``SEARCHABLE`` dimension, only those under it."""

    def member(self, pool_id: str, run_id: str) -> Member | None: ...

    def members_at(self, pool_id: str, address: Address) -> Sequence[Member]:
        """Every member that matches ``address``."""

    def save_member(self, pool_id: str, member: Member) -> None: ...

    def message_by_key(self, pool_id: str, idempotency_key: str) -> MessageRecord | None: ...

    def insert_message(
        self, pool_id: str, record: MessageRecord, body: InlineBody | None
    ) -> None: ...

    def save_receipt(self, pool_id: str, record: MessageRecord) -> None:
        """Replace the receipt of a stored message."""

    def insert_deliveries(self, pool_id: str, deliveries: Iterable[Delivery]) -> None: ...

    def delivery(self, pool_id: str, message_id: str, run_id: str) -> Delivery | None: ...

    def deliveries_due(
        self, pool_id: str, run_id: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Open deliveries of the inbox that may be fetched, by sequence."""

    def save_delivery(self, pool_id: str, delivery: Delivery) -> None: ...

    def reply(self, pool_id: str, message_id: str, responder_run_id: str) -> Reply | None: ...

    def insert_reply(self, pool_id: str, reply: Reply) -> None: ...

    def wake_by_key(self, pool_id: str, idempotency_key: str) -> Wake | None: ...

    def insert_wake(self, pool_id: str, wake: Wake) -> None:
        """Store a registered wake, and index it by its filters."""

    def save_wake(self, pool_id: str, wake: Wake) -> None:
        """Update a wake, and remove it from the index when it has ended."""

    def wake_candidates(self, pool_id: str, keys: Collection[IndexKey]) -> Sequence[Wake]:
        """Registered wakes under one of ``keys``, in any order."""

    def set_timer(self, pool_id: str, timer: Timer) -> None: ...

    def drop_timer(self, pool_id: str, kind: TimerKind, subject_id: str) -> None: ...

    def enqueue_wake(self, pool_id: str, wake: Wake, message_ids: Sequence[str]) -> None:
        """Enqueue the delivery of an ended wake to run control, sent after the commit."""

    def notify(self, pool_id: str) -> None:
        """Notify the followers of the pool's log after the commit."""


class Store(Protocol):
    async def write(self, tenant: str, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction and return once it is durable; ``fn`` can run again."""

    async def read(self, tenant: str, fn: Callable[[Reads], T]) -> T: ...

    async def due_timers(self, limit: int, after: DueTimer | None = None) -> Sequence[DueTimer]:
        """The next timers of all tenants, the earliest first, due or not.

        Args:
            after: The last timer of the page before.
        """
