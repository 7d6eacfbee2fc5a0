"""The transaction of one tenant: ``core.ports.PoolTx`` over the chassis's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from services.chassis import outbox
from services.chassis.caller import RequestKey
from services.chassis.idempotency import TxRequestLog
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement
from services.pool.core.events import (
    Event,
    Timer,
    TimerKind,
    Wake,
    WakeState,
)
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
from services.pool.core.ports import Fact, MemberQuery
from services.pool.store import codec, rows
from services.pool.store import statements as sql
from services.pool.store.tables import outbox as outbox_table
from services.pool.store.tables import request as request_table

DELIVER_WAKE = "deliver_wake"
TIMERS = "timers"

EncodeWake = Callable[[str, Wake, Sequence[str]], bytes]

_EVENTS_UNDER: Mapping[Dimension, Statement] = {
    Dimension.MESSAGE: sql.EVENTS_OF_MESSAGE,
    Dimension.REPLY_TO: sql.EVENTS_ANSWERING,
    Dimension.RECIPIENT: sql.EVENTS_TO_RECIPIENT,
}


def pool_channel(tenant: str, pool_id: str) -> str:
    """What followers of a pool's log listen to."""
    return f"pool/{lane_of(tenant, pool_id)}"


def lane_of(tenant: str, pool_id: str) -> str:
    """One name for a tenant's pool; ids may hold any separator, so the length says where."""
    return f"{len(tenant)}:{tenant}/{pool_id}"


def tenant_of(lane: str) -> str:
    length, _, rest = lane.partition(":")
    return rest[: int(length)]


class SqlPoolReader:
    """``core.ports.PoolReader``, and the reading half of a transaction."""

    def __init__(self, tx: Tx, tenant: str) -> None:
        self._tx = tx
        self._tenant = tenant

    def pool(self, pool_id: str) -> Pool | None:
        row = self._one(sql.POOL, pool_id)
        return None if row is None else rows.pool(row)

    def members(self, pool_id: str, query: MemberQuery) -> Sequence[Member]:
        found = self._all(
            sql.MEMBER_PAGE,
            pool_id,
            after_run_id=query.after_run_id,
            agent_id=query.agent_id,
            topic=query.topic,
            limit=query.limit,
        )
        return [rows.member(row) for row in found]

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None:
        row = self._one(sql.MESSAGE, pool_id, message_id=message_id)
        return None if row is None else rows.message(row)

    def body(self, pool_id: str, message_id: str) -> InlineBody | None:
        row = self._one(sql.BODY, pool_id, message_id=message_id)
        return None if row is None else InlineBody(bytes(row.data), row.media_type)

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]:
        found = self._all(sql.DELIVERIES_OF, pool_id, message_id=message_id)
        return [rows.delivery(row) for row in found]

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]:
        found = self._all(sql.REPLIES, pool_id, request_message_id=message_id)
        return [Reply(*row) for row in found]

    def wake(self, pool_id: str, condition_id: str) -> Wake | None:
        row = self._one(sql.WAKE, pool_id, condition_id=condition_id)
        return None if row is None else codec.WAKE.load(row.wake)

    def _one(self, statement: Statement, pool_id: str, **params: object) -> rows.Row | None:
        return self._tx.one(statement, tenant=self._tenant, pool_id=pool_id, **params)

    def _all(self, statement: Statement, pool_id: str, **params: object) -> list[rows.Row]:
        return self._tx.all(statement, tenant=self._tenant, pool_id=pool_id, **params)

    def _run(self, statement: Statement, pool_id: str, **params: object) -> None:
        self._tx.run(statement, tenant=self._tenant, pool_id=pool_id, **params)


class SqlPoolTx(SqlPoolReader):
    """Implements ``core.ports.PoolTx``.

    Args:
        now: For what the transaction itself keeps: remembered requests, outbox rows.
        encode_wake: The command that tells run control how a wake ended.
    """

    def __init__(self, tx: Tx, tenant: str, now: datetime, encode_wake: EncodeWake) -> None:
        super().__init__(tx, tenant)
        self._now = now
        self._encode_wake = encode_wake
        self._requests = TxRequestLog(tx, request_table, now)

    def recall(self, request: RequestKey) -> bytes | None:
        return self._requests.recall(request)

    def remember(self, request: RequestKey, body: bytes) -> None:
        self._requests.remember(request, body)

    def lock_pool(self, pool_id: str) -> Pool | None:
        row = self._one(sql.LOCK_POOL, pool_id)
        if row is None:
            # No row to lock, so its name: of two that open the pool, the second finds it open.
            self._tx.lock(f"pool/{lane_of(self._tenant, pool_id)}")
            row = self._one(sql.LOCK_POOL, pool_id)
        return None if row is None else rows.pool(row)

    def insert_pool(self, pool: Pool) -> None:
        self._run(sql.ADD_POOL, pool.pool_id, **rows.pool_values(pool))

    def save_pool(self, pool: Pool) -> None:
        self._tx.run(
            sql.SAVE_POOL,
            of_tenant=self._tenant,
            of_pool_id=pool.pool_id,
            **rows.pool_values(pool),
        )

    def append(self, pool_id: str, event: Event, fact: Fact, actor: str) -> None:
        fact_type, fact_json = codec.fact_to_json(fact)
        self._run(
            sql.ADD_RECORD,
            pool_id,
            sequence=event.sequence,
            kind=event.kind.value,
            message_id=event.message_id or None,
            reply_to=event.reply_to or None,
            actor=actor,
            event=codec.EVENT.dump(event),
            fact_type=fact_type,
            fact=fact_json,
        )

    def events_after(
        self, pool_id: str, after: int, limit: int, key: IndexKey | None
    ) -> Sequence[Event]:
        if key is None:
            found = self._all(sql.EVENTS, pool_id, after=after, limit=limit)
        else:
            under = _EVENTS_UNDER[key[0]]
            found = self._all(under, pool_id, after=after, limit=limit, value=key[1])
        return [codec.EVENT.load(row.event) for row in found]

    def member(self, pool_id: str, run_id: str) -> Member | None:
        row = self._one(sql.MEMBER, pool_id, run_id=run_id)
        return None if row is None else rows.member(row)

    def members_at(self, pool_id: str, address: Address) -> Sequence[Member]:
        value = address.value
        match address.kind:
            case TargetKind.RUN:
                found = self._all(sql.MEMBER, pool_id, run_id=value)
            case TargetKind.AGENT:
                found = self._all(sql.MEMBERS_OF_AGENT, pool_id, agent_id=value)
            case TargetKind.TOPIC:
                found = self._all(sql.MEMBERS_ON_TOPIC, pool_id, topic=value)
            case TargetKind.POOL:
                found = self._all(sql.MEMBERS, pool_id) if value == pool_id else []
        return [rows.member(row) for row in found]

    def save_member(self, pool_id: str, member: Member) -> None:
        self._run(sql.PUT_MEMBER, pool_id, **rows.member_values(member))
        self._run(sql.DROP_TOPICS, pool_id, run_id=member.run_id)
        self._many(
            sql.ADD_TOPIC,
            pool_id,
            ({"topic": topic, "run_id": member.run_id} for topic in member.topics),
        )

    def message_by_key(self, pool_id: str, idempotency_key: str) -> MessageRecord | None:
        row = self._one(sql.MESSAGE_BY_KEY, pool_id, idempotency_key=idempotency_key)
        return None if row is None else rows.message(row)

    def insert_message(self, pool_id: str, record: MessageRecord, body: InlineBody | None) -> None:
        self._run(sql.ADD_MESSAGE, pool_id, **rows.message_values(record))
        if body is not None:
            self._run(
                sql.ADD_BODY,
                pool_id,
                message_id=record.message.message_id,
                media_type=body.media_type,
                data=body.data,
            )

    def save_receipt(self, pool_id: str, record: MessageRecord) -> None:
        self._run(
            sql.SAVE_RECEIPT,
            pool_id,
            message_id=record.message.message_id,
            to_state=record.receipt.state.value,
            to_sequence=record.receipt.sequence,
            to_receipt=codec.RECEIPT.dump(record.receipt),
        )

    def insert_deliveries(self, pool_id: str, deliveries: Iterable[Delivery]) -> None:
        self._many(sql.ADD_DELIVERY, pool_id, map(rows.delivery_values, deliveries))

    def delivery(self, pool_id: str, message_id: str, run_id: str) -> Delivery | None:
        row = self._one(sql.DELIVERY, pool_id, message_id=message_id, run_id=run_id)
        return None if row is None else rows.delivery(row)

    def deliveries_due(
        self, pool_id: str, run_id: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        found = self._all(sql.DELIVERIES_DUE, pool_id, run_id=run_id, now=now, limit=limit)
        return [rows.delivery(row) for row in found]

    def save_delivery(self, pool_id: str, delivery: Delivery) -> None:
        self._run(
            sql.SAVE_DELIVERY,
            pool_id,
            message_id=delivery.message_id,
            run_id=delivery.run_id,
            to_state=delivery.state.value,
            to_is_open=delivery.state.is_open,
            to_attempt=delivery.attempt,
            to_lease_token=delivery.lease_token,
            to_due_time=delivery.due_time,
        )

    def reply(self, pool_id: str, message_id: str, responder_run_id: str) -> Reply | None:
        row = self._one(
            sql.REPLY, pool_id, request_message_id=message_id, responder_run_id=responder_run_id
        )
        return None if row is None else Reply(*row)

    def insert_reply(self, pool_id: str, reply: Reply) -> None:
        self._run(sql.ADD_REPLY, pool_id, **rows.reply_values(reply))

    def wake_by_key(self, pool_id: str, idempotency_key: str) -> Wake | None:
        row = self._one(sql.WAKE_BY_KEY, pool_id, idempotency_key=idempotency_key)
        return None if row is None else codec.WAKE.load(row.wake)

    def insert_wake(self, pool_id: str, wake: Wake) -> None:
        condition = wake.condition
        self._run(sql.ADD_WAKE, pool_id, **rows.wake_values(wake))
        keys = {_text(key) for each in condition.filters for key in index_keys(each)}
        self._many(
            sql.ADD_INDEX,
            pool_id,
            ({"key": key, "condition_id": condition.condition_id} for key in sorted(keys)),
        )

    def save_wake(self, pool_id: str, wake: Wake) -> None:
        condition_id = wake.condition.condition_id
        self._run(
            sql.SAVE_WAKE,
            pool_id,
            condition_id=condition_id,
            to_state=wake.state.value,
            to_wake=codec.WAKE.dump(wake),
        )
        if wake.state is not WakeState.REGISTERED:
            self._run(sql.DROP_INDEX, pool_id, condition_id=condition_id)

    def wake_candidates(self, pool_id: str, keys: Collection[IndexKey]) -> Sequence[Wake]:
        texts = sorted(map(_text, keys))
        found: set[str] = set()
        for start in range(0, len(texts), sql.KEYS_PER_LOOKUP):
            batch = texts[start : start + sql.KEYS_PER_LOOKUP]
            # The last batch asks for a key more than once.
            batch += [batch[0]] * (sql.KEYS_PER_LOOKUP - len(batch))
            named = {f"key_{n}": key for n, key in enumerate(batch)}
            found.update(row.wake for row in self._all(sql.WAKES_UNDER, pool_id, **named))
        return [codec.WAKE.load(text) for text in found]

    def set_timer(self, pool_id: str, timer: Timer) -> None:
        self._run(
            sql.PUT_TIMER,
            pool_id,
            kind=timer.kind.value,
            subject_id=timer.subject_id,
            due_time=timer.due_time,
        )
        self._tx.ring(TIMERS)

    def drop_timer(self, pool_id: str, kind: TimerKind, subject_id: str) -> None:
        self._run(sql.DROP_TIMER, pool_id, kind=kind.value, subject_id=subject_id)

    def enqueue_wake(self, pool_id: str, wake: Wake, message_ids: Sequence[str]) -> None:
        outbox.put(
            self._tx,
            outbox_table,
            id=wake.condition.condition_id,
            lane=lane_of(self._tenant, pool_id),
            kind=DELIVER_WAKE,
            payload=self._encode_wake(pool_id, wake, message_ids),
            traceparent=wake.cause_traceparent or wake.suspend_traceparent,
            now=self._now,
        )

    def ring(self, pool_id: str) -> None:
        self._tx.ring(pool_channel(self._tenant, pool_id))

    def _many(
        self, statement: Statement, pool_id: str, values: Iterable[Mapping[str, object]]
    ) -> None:
        scope = {"tenant": self._tenant, "pool_id": pool_id}
        self._tx.run_many(statement, [{**scope, **each} for each in values])


def _text(key: IndexKey) -> str:
    dimension, value = key
    return f"{dimension.value}:{value}"
