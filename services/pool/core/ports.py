"""What the decisions need from the outside, in their own terms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.chassis.caller import RequestLog
from services.pool.core.events import (
    DueTimer,
    Event,
    Timer,
    TimerKind,
    Wake,
)
from services.pool.core.filters import IndexKey
from services.pool.core.model import (
    Address,
    Delivery,
    InlineBody,
    Member,
    MessageRecord,
    Pool,
    Recipient,
    Reply,
)

if TYPE_CHECKING:
    from services.pool.core.joining import Joined
    from services.pool.core.opening import Opened
    from services.pool.core.results import Acked, Fetched, Responded, Sent, Suspended, WakeCancelled

T = TypeVar("T")

# The state that a log record led to, from which the pool can be rebuilt.
Fact = Pool | Member | MessageRecord | Wake


class PoolTx(RequestLog, Protocol):
    """One transaction, of one tenant."""

    def lock_pool(self, pool_id: str) -> Pool | None:
        """The pool; nobody else changes anything in it until this transaction ends."""

    def insert_pool(self, pool: Pool) -> None: ...

    def save_pool(self, pool: Pool) -> None: ...

    def append(self, pool_id: str, event: Event, fact: Fact, actor: str) -> None:
        """Add a record to the log, under ``event.sequence``."""

    def events_after(
        self, pool_id: str, after: int, limit: int, key: IndexKey | None
    ) -> Sequence[Event]:
        """Events of the log in order; with a key of the kinds ``SCANNABLE`` only those under it."""

    def member(self, pool_id: str, run_id: str) -> Member | None: ...

    def members_at(self, pool_id: str, address: Address) -> Sequence[Member]:
        """Every member that matches ``address``."""

    def save_member(self, pool_id: str, member: Member) -> None: ...

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None: ...

    def message_by_key(self, pool_id: str, idempotency_key: str) -> MessageRecord | None: ...

    def insert_message(
        self, pool_id: str, record: MessageRecord, body: InlineBody | None
    ) -> None: ...

    def save_receipt(self, pool_id: str, record: MessageRecord) -> None:
        """The newest receipt of a stored message."""

    def body(self, pool_id: str, message_id: str) -> InlineBody | None:
        """None for a reference, and once its retention has passed."""

    def insert_deliveries(self, pool_id: str, deliveries: Iterable[Delivery]) -> None: ...

    def delivery(self, pool_id: str, message_id: str, run_id: str) -> Delivery | None: ...

    def deliveries_due(
        self, pool_id: str, run_id: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Open deliveries of the inbox that may be fetched, by sequence."""

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]:
        """By run."""

    def save_delivery(self, pool_id: str, delivery: Delivery) -> None: ...

    def reply(self, pool_id: str, message_id: str, responder_run_id: str) -> Reply | None: ...

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]:
        """In order of arrival."""

    def insert_reply(self, pool_id: str, reply: Reply) -> None: ...

    def wake(self, pool_id: str, condition_id: str) -> Wake | None: ...

    def wake_by_key(self, pool_id: str, idempotency_key: str) -> Wake | None: ...

    def insert_wake(self, pool_id: str, wake: Wake) -> None:
        """Index it as well, while it is registered."""

    def save_wake(self, pool_id: str, wake: Wake) -> None:
        """Take it out of the index when it has ended."""

    def wake_candidates(self, pool_id: str, keys: Collection[IndexKey]) -> Sequence[Wake]:
        """Registered wakes under one of ``keys``, in any order."""

    def set_timer(self, pool_id: str, timer: Timer) -> None: ...

    def drop_timer(self, pool_id: str, kind: TimerKind, subject_id: str) -> None: ...

    def enqueue_wake(self, pool_id: str, wake: Wake, message_ids: Sequence[str]) -> None:
        """Tell run control how ``wake`` ended; sent once this transaction is committed."""

    def ring(self, pool_id: str) -> None:
        """Wake whoever follows the pool's log, after the commit."""


class PoolReader(Protocol):
    """A consistent view, of one tenant."""

    def pool(self, pool_id: str) -> Pool | None: ...

    def members(self, pool_id: str, query: MemberQuery) -> Sequence[Member]:
        """By run id."""

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None: ...

    def body(self, pool_id: str, message_id: str) -> InlineBody | None: ...

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]: ...

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]: ...

    def wake(self, pool_id: str, condition_id: str) -> Wake | None: ...


@dataclass(frozen=True, slots=True)
class MemberQuery:
    """A page of members; an empty field asks for all.

    Attributes:
        after_run_id: The last run of the page before.
    """

    limit: int
    after_run_id: str = ""
    agent_id: str = ""
    topic: str = ""


class PoolStore(Protocol):
    async def write(self, tenant: str, fn: Callable[[PoolTx], T]) -> T:
        """Run ``fn`` in a transaction and answer once it is durable; ``fn`` is re-runnable."""

    async def read(self, tenant: str, fn: Callable[[PoolReader], T]) -> T: ...

    async def due_timers(self, limit: int) -> Sequence[DueTimer]:
        """The next timers of every tenant, the earliest first, whether due or not."""


@dataclass(frozen=True, slots=True)
class Encode:
    """Answers as the bytes that a repeated request gets."""

    opened: Callable[[Opened], bytes]
    joined: Callable[[Joined], bytes]
    sent: Callable[[Sent], bytes]
    responded: Callable[[Responded], bytes]
    fetched: Callable[[Fetched], bytes]
    acked: Callable[[Acked], bytes]
    suspended: Callable[[Suspended], bytes]
    wake_cancelled: Callable[[WakeCancelled], bytes]


__all__ = [
    "Encode",
    "Fact",
    "MemberQuery",
    "PoolReader",
    "PoolStore",
    "PoolTx",
    "Recipient",
]
