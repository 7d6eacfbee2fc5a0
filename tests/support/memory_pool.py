"""The ports of the pool on dictionaries: the model that stores are compared with.

Nothing is indexed here: candidates and searches look at everything, so that a wrong index in a
real store shows as a difference.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from services.chassis.caller import RequestKey
from services.chassis.errors import IdempotencyConflictError
from services.pool.core.events import DueTimer, Event, Timer, TimerKind, Wake, WakeState
from services.pool.core.filters import Dimension, IndexKey, index_keys
from services.pool.core.model import (
    Address,
    Delivery,
    InlineBody,
    Member,
    MessageRecord,
    Pool,
    Reply,
    TargetKind,
)
from services.pool.core.ports import Fact, MemberQuery, Reads, Tx

T = TypeVar("T")
Key = tuple[str, ...]


@dataclass
class Tables:
    """The tables of one tenant; keys begin with the pool."""

    pools: dict[str, Pool] = field(default_factory=dict)
    log: list[tuple[str, Event, Fact, str]] = field(default_factory=list)
    members: dict[Key, Member] = field(default_factory=dict)
    messages: dict[Key, MessageRecord] = field(default_factory=dict)
    bodies: dict[Key, InlineBody] = field(default_factory=dict)
    deliveries: dict[Key, Delivery] = field(default_factory=dict)
    replies: dict[Key, Reply] = field(default_factory=dict)
    wakes: dict[Key, Wake] = field(default_factory=dict)
    timers: dict[tuple[str, TimerKind, str], Timer] = field(default_factory=dict)
    outbox: list[tuple[str, Wake, tuple[str, ...]]] = field(default_factory=list)
    requests: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)


class MemoryTx:
    """Implements ``Tx`` and ``Reads``."""

    def __init__(self, tables: Tables) -> None:
        self.t = tables

    def recall(self, request: RequestKey) -> bytes | None:
        digest, body = self.t.requests.get((request.method, request.key), (b"", None))
        if body is not None and digest != request.digest:
            raise IdempotencyConflictError("used before", request_id=request.key)
        return body

    def remember(self, request: RequestKey, body: bytes) -> None:
        self.t.requests[request.method, request.key] = request.digest, body

    def pool(self, pool_id: str) -> Pool | None:
        return self.t.pools.get(pool_id)

    lock_pool = pool

    def try_lock_pool(self, pool_id: str) -> bool:
        return pool_id in self.t.pools

    def insert_pool(self, pool: Pool) -> None:
        assert pool.pool_id not in self.t.pools
        self.t.pools[pool.pool_id] = pool

    def save_pool(self, pool: Pool) -> None:
        assert pool.pool_id in self.t.pools
        self.t.pools[pool.pool_id] = pool

    def append(self, pool_id: str, event: Event, fact: Fact, actor: str) -> None:
        self.t.log.append((pool_id, event, fact, actor))

    def events(self, pool_id: str) -> list[Event]:
        return [event for owner, event, _, _ in self.t.log if owner == pool_id]

    def events_after(
        self, pool_id: str, after: int, limit: int, key: IndexKey | None
    ) -> Sequence[Event]:
        later = [event for event in self.events(pool_id) if event.sequence > after]
        return [event for event in later if key is None or _is_under(event, key)][:limit]

    def member(self, pool_id: str, run_id: str) -> Member | None:
        return self.t.members.get((pool_id, run_id))

    def members(self, pool_id: str, query: MemberQuery) -> Sequence[Member]:
        return [
            member
            for member in self._members(pool_id)
            if member.run_id > query.after_run_id
            and query.agent_id in {"", member.agent_id}
            and query.topic in {"", *member.topics}
        ][: query.limit]

    def members_at(self, pool_id: str, address: Address) -> Sequence[Member]:
        fits: Callable[[Member], bool] = {
            TargetKind.RUN: lambda member: member.run_id == address.value,
            TargetKind.AGENT: lambda member: member.agent_id == address.value,
            TargetKind.TOPIC: lambda member: address.value in member.topics,
            TargetKind.POOL: lambda member: address.value == pool_id,
        }[address.kind]
        return [member for member in self._members(pool_id) if fits(member)]

    def _members(self, pool_id: str) -> list[Member]:
        return sorted(_owned(self.t.members, pool_id), key=lambda member: member.run_id)

    def save_member(self, pool_id: str, member: Member) -> None:
        self.t.members[pool_id, member.run_id] = member

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None:
        return self.t.messages.get((pool_id, message_id))

    def message_by_key(self, pool_id: str, idempotency_key: str) -> MessageRecord | None:
        records = _owned(self.t.messages, pool_id)
        return next((r for r in records if r.message.idempotency_key == idempotency_key), None)

    def insert_message(self, pool_id: str, record: MessageRecord, body: InlineBody | None) -> None:
        key = pool_id, record.message.message_id
        assert key not in self.t.messages
        self.t.messages[key] = record
        if body is not None:
            self.t.bodies[key] = body

    def save_receipt(self, pool_id: str, record: MessageRecord) -> None:
        key = pool_id, record.message.message_id
        self.t.messages[key] = replace(self.t.messages[key], receipt=record.receipt)

    def body(self, pool_id: str, message_id: str) -> InlineBody | None:
        return self.t.bodies.get((pool_id, message_id))

    def insert_deliveries(self, pool_id: str, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self.t.deliveries[pool_id, delivery.message_id, delivery.run_id] = delivery

    def delivery(self, pool_id: str, message_id: str, run_id: str) -> Delivery | None:
        return self.t.deliveries.get((pool_id, message_id, run_id))

    def deliveries_due(
        self, pool_id: str, run_id: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        due = [
            delivery
            for (owner, _, recipient), delivery in self.t.deliveries.items()
            if (owner, recipient) == (pool_id, run_id)
            and delivery.state.is_open
            and delivery.due_time <= now
            and (delivery.expire_time is None or delivery.expire_time > now)
        ]
        return sorted(due, key=lambda delivery: delivery.sequence)[:limit]

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]:
        found = sorted(self.t.deliveries.items())
        return [delivery for key, delivery in found if key[:2] == (pool_id, message_id)]

    def save_delivery(self, pool_id: str, delivery: Delivery) -> None:
        self.t.deliveries[pool_id, delivery.message_id, delivery.run_id] = delivery

    def reply(self, pool_id: str, message_id: str, responder_run_id: str) -> Reply | None:
        return self.t.replies.get((pool_id, message_id, responder_run_id))

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]:
        found = [r for key, r in self.t.replies.items() if key[:2] == (pool_id, message_id)]
        return sorted(found, key=lambda reply: reply.sequence)

    def insert_reply(self, pool_id: str, reply: Reply) -> None:
        key = pool_id, reply.request_message_id, reply.responder_run_id
        assert key not in self.t.replies
        self.t.replies[key] = reply

    def wake(self, pool_id: str, condition_id: str) -> Wake | None:
        return self.t.wakes.get((pool_id, condition_id))

    def wake_by_key(self, pool_id: str, idempotency_key: str) -> Wake | None:
        wakes = _owned(self.t.wakes, pool_id)
        return next((w for w in wakes if w.condition.idempotency_key == idempotency_key), None)

    def insert_wake(self, pool_id: str, wake: Wake) -> None:
        assert (pool_id, wake.condition.condition_id) not in self.t.wakes
        self.t.wakes[pool_id, wake.condition.condition_id] = wake

    def save_wake(self, pool_id: str, wake: Wake) -> None:
        self.t.wakes[pool_id, wake.condition.condition_id] = wake

    def wake_candidates(self, pool_id: str, keys: Collection[IndexKey]) -> Sequence[Wake]:
        return [
            wake
            for wake in _owned(self.t.wakes, pool_id)
            if wake.state is WakeState.REGISTERED
            and {key for each in wake.condition.filters for key in index_keys(each)} & {*keys}
        ]

    def set_timer(self, pool_id: str, timer: Timer) -> None:
        self.t.timers[pool_id, timer.kind, timer.subject_id] = timer

    def drop_timer(self, pool_id: str, kind: TimerKind, subject_id: str) -> None:
        self.t.timers.pop((pool_id, kind, subject_id), None)

    def enqueue_wake(self, pool_id: str, wake: Wake, message_ids: Sequence[str]) -> None:
        self.t.outbox.append((pool_id, wake, tuple(message_ids)))

    def notify(self, pool_id: str) -> None:
        self.t.notified.append(pool_id)


class MemoryPoolStore:
    """Implements ``Store``: a closure that raises leaves nothing behind.

    Attributes:
        timer_reads: How often the timers were read.
    """

    def __init__(self) -> None:
        self.timer_reads = 0
        self.tenants: dict[str, Tables] = {}

    def of(self, tenant: str = "default") -> MemoryTx:
        return MemoryTx(self.tenants.setdefault(tenant, Tables()))

    async def write(self, tenant: str, fn: Callable[[Tx], T]) -> T:
        before = copy.deepcopy(self.of(tenant).t)
        try:
            return fn(self.of(tenant))
        except BaseException:
            self.tenants[tenant] = before
            raise

    async def read(self, tenant: str, fn: Callable[[Reads], T]) -> T:
        return fn(self.of(tenant))

    async def due_timers(self, limit: int, after: DueTimer | None = None) -> Sequence[DueTimer]:
        self.timer_reads += 1
        pending = [
            DueTimer(tenant, pool_id, timer)
            for tenant, tables in self.tenants.items()
            for (pool_id, _, _), timer in tables.timers.items()
        ]
        if after is not None:
            pending = [due for due in pending if _timer_order(due) > _timer_order(after)]
        return sorted(pending, key=_timer_order)[:limit]


def _owned(table: dict[Key, T], pool_id: str) -> list[T]:
    return [row for key, row in table.items() if key[0] == pool_id]


def _timer_order(due: DueTimer) -> tuple[datetime, str, str, str, str]:
    timer = due.timer
    return timer.due_time, due.tenant, due.pool_id, timer.kind.value, timer.subject_id


def _is_under(event: Event, key: IndexKey) -> bool:
    dimension, value = key
    return {
        Dimension.MESSAGE: event.message_id == value,
        Dimension.REPLY_TO: event.reply_to == value,
        Dimension.RECIPIENT: value in event.recipient_run_ids,
    }[dimension]
