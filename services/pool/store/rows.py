"""Rows as core values and back, for what is not JSON alone."""

from __future__ import annotations

from typing import Any

from services.pool.core.events import (
    Wake,
)
from services.pool.core.model import (
    Delivery,
    DeliveryState,
    Member,
    MessageRecord,
    Pool,
    PoolState,
    Reply,
)
from services.pool.store import codec

# A named tuple with a field per selected column.
Row = Any
Values = dict[str, object]


def pool(row: Row) -> Pool:
    return Pool(
        pool_id=row.pool_id,
        config=codec.CONFIG.load(row.config),
        create_time=row.create_time,
        update_time=row.update_time,
        state=PoolState(row.state),
        revision=row.revision,
        created=row.created,
        member_count=row.member_count,
        open_wakes=row.open_wakes,
        head_sequence=row.head_sequence,
        oldest_sequence=row.oldest_sequence,
    )


def pool_values(pool: Pool) -> Values:
    return {
        "config": codec.CONFIG.dump(pool.config),
        "state": pool.state.value,
        "revision": pool.revision,
        "created": pool.created,
        "member_count": pool.member_count,
        "open_wakes": pool.open_wakes,
        "head_sequence": pool.head_sequence,
        "oldest_sequence": pool.oldest_sequence,
        "create_time": pool.create_time,
        "update_time": pool.update_time,
    }


def member(row: Row) -> Member:
    return Member(
        run_id=row.run_id,
        agent_id=row.agent_id,
        topics=codec.TOPICS.load(row.topics),
        policy_refs=codec.POLICIES.load(row.policy_refs),
        principal=row.principal,
        incarnation=row.incarnation,
        join_time=row.join_time,
        sequence=row.sequence,
    )


def member_values(member: Member) -> Values:
    return {
        "run_id": member.run_id,
        "agent_id": member.agent_id,
        "principal": member.principal,
        "incarnation": member.incarnation,
        "sequence": member.sequence,
        "join_time": member.join_time,
        "topics": codec.TOPICS.dump(member.topics),
        "policy_refs": codec.POLICIES.dump(member.policy_refs),
    }


def message(row: Row) -> MessageRecord:
    return MessageRecord(
        message=codec.MESSAGE.load(row.message),
        receipt=codec.RECEIPT.load(row.receipt),
        digest=bytes(row.digest),
    )


def message_values(record: MessageRecord) -> Values:
    stored, receipt = record.message, record.receipt
    return {
        "message_id": stored.message_id,
        "idempotency_key": stored.idempotency_key,
        "digest": record.digest,
        "from_run_id": stored.from_run_id,
        "state": receipt.state.value,
        "sequence": receipt.sequence,
        "message": codec.MESSAGE.dump(stored),
        "receipt": codec.RECEIPT.dump(receipt),
    }


def delivery(row: Row) -> Delivery:
    return Delivery(
        message_id=row.message_id,
        run_id=row.run_id,
        sequence=row.sequence,
        due_time=row.due_time,
        state=DeliveryState(row.state),
        attempt=row.attempt,
        lease_token=row.lease_token,
        expire_time=row.expire_time,
    )


def delivery_values(delivery: Delivery) -> Values:
    return {
        "message_id": delivery.message_id,
        "run_id": delivery.run_id,
        "sequence": delivery.sequence,
        "state": delivery.state.value,
        "is_open": delivery.state.is_open,
        "attempt": delivery.attempt,
        "lease_token": delivery.lease_token,
        "due_time": delivery.due_time,
        "expire_time": delivery.expire_time,
    }


def reply_values(reply: Reply) -> Values:
    return {
        "request_message_id": reply.request_message_id,
        "responder_run_id": reply.responder_run_id,
        "reply_message_id": reply.reply_message_id,
        "late": reply.late,
        "sequence": reply.sequence,
        "reply_time": reply.reply_time,
    }


def wake_values(wake: Wake) -> Values:
    condition = wake.condition
    return {
        "condition_id": condition.condition_id,
        "idempotency_key": condition.idempotency_key,
        "digest": wake.digest,
        "run_id": condition.run_id,
        "state": wake.state.value,
        "wake": codec.WAKE.dump(wake),
    }
