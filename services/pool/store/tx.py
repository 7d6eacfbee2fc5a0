"""Implements ``core.ports.Reads`` and ``core.ports.Tx`` over a transaction of the chassis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from services.chassis.caller import RequestKey, in_tenant
from services.chassis.failpoints import Failpoint
from services.chassis.outbox.rows import put
from services.chassis.store.idempotency import TxRequestLog
from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import Statement
from services.pool.core.events import Event, Timer, TimerKind, Wake, WakeState
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
from services.pool.store import rows
from services.pool.store import statements as sql
from services.pool.store.moments import JOIN, SEND, TRIGGER
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


class SqlReads:
    """Implements ``core.ports.Reads``."""

    def __init__(self, tx: Tx, tenant: str) -> None:
        self._tx = tx
        self._tenant = tenant

    def pool(self, pool_id: str) -> Pool | None:
        row = self._one(sql.POOL, pool_id)
        return None if row is None else rows.value_of(Pool, row)

    def members(self, pool_id: str, query: MemberQuery) -> Sequence[Member]:
        found = self._all(
            sql.MEMBER_PAGE,
            pool_id,
            after_run_id=query.after_run_id,
            agent_id=query.agent_id,
            topic=query.topic,
            limit=query.limit,
        )
        return [rows.value_of(Member, row) for row in found]

    def message(self, pool_id: str, message_id: str) -> MessageRecord | None:
        row = self._one(sql.MESSAGE, pool_id, message_id=message_id)
        return None if row is None else rows.value_of(MessageRecord, row)

    def body(self, pool_id: str, message_id: str) -> InlineBody | None:
        row = self._one(sql.BODY, pool_id, message_id=message_id)
        return None if row is None else InlineBody(bytes(row.data), row.media_type)

    def deliveries_of(self, pool_id: str, message_id: str) -> Sequence[Delivery]:
        found = self._all(sql.DELIVERIES_OF, pool_id, message_id=message_id)
        return [rows.value_of(Delivery, row) for row in found]

    def replies(self, pool_id: str, message_id: str) -> Sequence[Reply]:
        found = self._all(sql.REPLIES, pool_id, request_message_id=message_id)
        return [rows.value_of(Reply, row) for row in found]

    def wake(self, pool_id: str, condition_id: str) -> Wake | None:
        row = self._one(sql.WAKE, pool_id, condition_id=condition_id)
        return None if row is None else row.wake

    def _one(self, statement: Statement, pool_id: str, **params: object) -> Row | None:
        return self._tx.one(statement, tenant=self._tenant, pool_id=pool_id, **params)

    def _all(self, statement: Statement, pool_id: str, **params: object) -> list[Row]:
        return self._tx.all(statement, tenant=self._tenant, pool_id=pool_id, **params)


class SqlTx(SqlReads):
    """Implements ``core.ports.Tx``.

    Args:
        now: The creation time of stored answers and outbox rows.
        encode_wake: Encodes the request that delivers an ended wake to run control.
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
            # Without a row its name is locked: the second of two calls that open the pool waits.
            self._tx.lock(f"pool/{in_tenant(self._tenant, pool_id)}")
            row = self._one(sql.LOCK_POOL, pool_id)
        return None if row is None else rows.value_of(Pool, row)

    def try_lock_pool(self, pool_id: str) -> bool:
        return self._one(sql.TRY_POOL, pool_id) is not None

    def insert_pool(self, pool: Pool) -> None:
        self._run(sql.ADD_POOL, pool.pool_id, **rows.pool_params(pool))

    def save_pool(self, pool: Pool) -> None:
        self._tx.run(
            sql.SAVE_POOL,
            of_tenant=self._tenant,
            of_pool_id=pool.pool_id,
            **rows.pool_params(pool),
        )

    def append(self, pool_id: str, event: Event, fact: Fact, actor: str) -> None:
        self._run(
            sql.ADD_RECORD,
            pool_id,
            sequence=event.sequence,
            kind=event.kind,
            message_id=event.message_id or None,
            reply_to=event.reply_to or None,
            actor=actor,
            event=event,
            **rows.fact_params(fact),
        )

    def events_after(
        self, pool_id: str, after: int, limit: int, key: IndexKey | None
    ) -> Sequence[Event]:
        if key is None:
            found = self._all(sql.EVENTS, pool_id, after=after, limit=limit)
        else:
            under = _EVENTS_UNDER[key[0]]
            found = self._all(under, pool_id, after=after, limit=limit, value=key[1])
        return [row.event for row in found]

    def member(self, pool_id: str, run_id: str) -> Member | None:
        row = self._one(sql.MEMBER, pool_id, run_id=run_id)
        return None if row is None else rows.value_of(Member, row)

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
        return [rows.value_of(Member, row) for row in found]

    def save_member(self, pool_id: str, member: Member) -> None:
        self._run(sql.PUT_MEMBER, pool_id, **rows.params_of(member))
        self._run(sql.DROP_TOPICS, pool_id, run_id=member.run_id)
        self._many(
            sql.ADD_TOPIC,
            pool_id,
            ({"topic": topic, "run_id": member.run_id} for topic in member.topics),
        )
        _reach(JOIN)

    def message_by_key(self, pool_id: str, idempotency_key: str) -> MessageRecord | None:
        row = self._one(sql.MESSAGE_BY_KEY, pool_id, idempotency_key=idempotency_key)
        return None if row is None else rows.value_of(MessageRecord, row)

    def insert_message(self, pool_id: str, record: MessageRecord, body: InlineBody | None) -> None:
        self._run(sql.ADD_MESSAGE, pool_id, **rows.message_params(record))
        if body is not None:
            self._run(
                sql.ADD_BODY,
                pool_id,
                message_id=record.message.message_id,
                media_type=body.media_type,
                data=body.data,
            )
        _reach(SEND)

    def save_receipt(self, pool_id: str, record: MessageRecord) -> None:
        self._run(
            sql.SAVE_RECEIPT,
            pool_id,
            message_id=record.message.message_id,
            to_state=record.receipt.state,
            to_sequence=record.receipt.sequence,
            to_receipt=record.receipt,
        )

    def insert_deliveries(self, pool_id: str, deliveries: Iterable[Delivery]) -> None:
        self._many(sql.ADD_DELIVERY, pool_id, map(rows.delivery_params, deliveries))

    def delivery(self, pool_id: str, message_id: str, run_id: str) -> Delivery | None:
        row = self._one(sql.DELIVERY, pool_id, message_id=message_id, run_id=run_id)
        return None if row is None else rows.value_of(Delivery, row)

    def deliveries_due(
        self, pool_id: str, run_id: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        found = self._all(sql.DELIVERIES_DUE, pool_id, run_id=run_id, now=now, limit=limit)
        return [rows.value_of(Delivery, row) for row in found]

    def save_delivery(self, pool_id: str, delivery: Delivery) -> None:
        self._run(
            sql.SAVE_DELIVERY,
            pool_id,
            message_id=delivery.message_id,
            run_id=delivery.run_id,
            to_state=delivery.state,
            to_is_open=delivery.state.is_open,
            to_attempt=delivery.attempt,
            to_lease_token=delivery.lease_token,
            to_due_time=delivery.due_time,
        )

    def reply(self, pool_id: str, message_id: str, responder_run_id: str) -> Reply | None:
        row = self._one(
            sql.REPLY, pool_id, request_message_id=message_id, responder_run_id=responder_run_id
        )
        return None if row is None else rows.value_of(Reply, row)

    def insert_reply(self, pool_id: str, reply: Reply) -> None:
        self._run(sql.ADD_REPLY, pool_id, **rows.params_of(reply))

    def wake_by_key(self, pool_id: str, idempotency_key: str) -> Wake | None:
        row = self._one(sql.WAKE_BY_KEY, pool_id, idempotency_key=idempotency_key)
        return None if row is None else row.wake

    def insert_wake(self, pool_id: str, wake: Wake) -> None:
        condition = wake.condition
        self._run(sql.ADD_WAKE, pool_id, **rows.wake_params(wake))
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
            to_state=wake.state,
            to_wake=wake,
        )
        if wake.state is not WakeState.REGISTERED:
            self._run(sql.DROP_INDEX, pool_id, condition_id=condition_id)

    def wake_candidates(self, pool_id: str, keys: Collection[IndexKey]) -> Sequence[Wake]:
        texts = sorted(map(_text, keys))
        found: dict[str, Wake] = {}
        for start in range(0, len(texts), sql.KEYS_PER_LOOKUP):
            batch = texts[start : start + sql.KEYS_PER_LOOKUP]
            # The last batch is filled up with repetitions of a key.
            batch += [batch[0]] * (sql.KEYS_PER_LOOKUP - len(batch))
            named = {f"key_{n}": key for n, key in enumerate(batch)}
            for row in self._all(sql.WAKES_UNDER, pool_id, **named):
                found[row.wake.condition.condition_id] = row.wake
        return list(found.values())

    def set_timer(self, pool_id: str, timer: Timer) -> None:
        self._run(
            sql.PUT_TIMER,
            pool_id,
            kind=timer.kind,
            subject_id=timer.subject_id,
            due_time=timer.due_time,
        )
        self._tx.notify(TIMERS)

    def drop_timer(self, pool_id: str, kind: TimerKind, subject_id: str) -> None:
        self._run(sql.DROP_TIMER, pool_id, kind=kind, subject_id=subject_id)

    def enqueue_wake(self, pool_id: str, wake: Wake, message_ids: Sequence[str]) -> None:
        put(
            self._tx,
            outbox_table,
            id=wake.condition.condition_id,
            lane=in_tenant(self._tenant, pool_id),
            kind=DELIVER_WAKE,
            payload=self._encode_wake(pool_id, wake, message_ids),
            traceparent=wake.cause_traceparent or wake.suspend_traceparent,
            now=self._now,
        )
        _reach(TRIGGER)

    def notify(self, pool_id: str) -> None:
        self._tx.notify(pool_channel(self._tenant, pool_id))

    def _run(self, statement: Statement, pool_id: str, **params: object) -> None:
        self._tx.run(statement, tenant=self._tenant, pool_id=pool_id, **params)

    def _many(
        self, statement: Statement, pool_id: str, values: Iterable[Mapping[str, object]]
    ) -> None:
        scope = {"tenant": self._tenant, "pool_id": pool_id}
        self._tx.run_many(statement, [{**scope, **each} for each in values])


def pool_channel(tenant: str, pool_id: str) -> str:
    """The channel on which followers of a pool's log are notified."""
    return f"pool/{in_tenant(tenant, pool_id)}"


def _reach(moment: Failpoint) -> None:
    """Without entering another file on the path of a call, unless it is armed."""
    if moment.armed is not None:
        moment.reach()


def _text(key: IndexKey) -> str:
    dimension, value = key
    return f"{dimension.value}:{value}"
