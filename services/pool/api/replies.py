"""Answers as protobuf messages, and as the bytes that a repeated request gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message as ProtobufMessage

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from services.pool.api import enums
from services.pool.api.fields import correlation_to_pb, duration_to_pb, policies_to_pb, time_to_pb
from services.pool.api.wakes import wake_to_pb
from services.pool.core.cursors import cursor_of
from services.pool.core.joining import Joined
from services.pool.core.model import (
    Address,
    Delivery,
    DeliveryState,
    InlineBody,
    Member,
    Message,
    Pool,
    PoolConfig,
    Receipt,
    Reply,
    ResponseContract,
    TargetKind,
)
from services.pool.core.opening import Opened
from services.pool.core.ports import Encode
from services.pool.core.results import (
    Acked,
    Fetched,
    MessageView,
    Parcel,
    Responded,
    Sent,
    Suspended,
    Unfetched,
    WakeCancelled,
)

T = TypeVar("T")


def opened_to_pb(opened: Opened) -> rpc.OpenPoolResponse:
    return rpc.OpenPoolResponse(pool=pool_to_pb(opened.pool), opened=opened.opened)


def pool_to_pb(pool: Pool) -> pb.Pool:
    return pb.Pool(
        pool_id=pool.pool_id,
        config=_config_to_pb(pool.config),
        state=enums.POOL_STATE_TO_PB[pool.state],
        etag=str(pool.revision),
        created=pool.created,
        member_count=pool.member_count,
        head_sequence=pool.head_sequence,
        oldest_sequence=pool.oldest_sequence,
        create_time=time_to_pb(pool.create_time),
        update_time=time_to_pb(pool.update_time),
    )


def _config_to_pb(config: PoolConfig) -> pb.PoolConfig:
    return pb.PoolConfig(
        message_policy=pb.MessagePolicy(
            required_policy_refs=policies_to_pb(config.required_policy_refs),
            include_sender_in_pool_broadcast=config.include_sender_in_pool_broadcast,
        ),
        wake_policy=pb.WakePolicy(envelope_only=config.envelope_only),
        policy_refs=policies_to_pb(config.policy_refs),
        auto_leave=config.auto_leave,
        leaver_policy=enums.LEAVER_POLICY_TO_PB[config.leaver_policy],
    )


def joined_to_pb(joined: Joined) -> rpc.JoinPoolResponse:
    return rpc.JoinPoolResponse(
        member=member_to_pb(joined.member),
        changed=joined.changed,
        cursor=cursor_of(joined.pool_id, joined.head_sequence),
        sequence=joined.member.sequence,
    )


def member_to_pb(member: Member) -> pb.Member:
    return pb.Member(
        run_id=member.run_id,
        agent_id=member.agent_id,
        policy_refs=policies_to_pb(member.policy_refs),
        topics=member.topics,
        incarnation=member.incarnation,
        join_time=time_to_pb(member.join_time),
    )


def sent_to_pb(sent: Sent) -> rpc.SendMessageResponse:
    return rpc.SendMessageResponse(receipt=_sent_receipt(sent))


def responded_to_pb(responded: Responded) -> rpc.RespondResponse:
    return rpc.RespondResponse(
        receipt=_sent_receipt(responded.answer),
        request_state=enums.MESSAGE_STATE_TO_PB[responded.request_state],
        late=responded.answer.record.message.late,
    )


def _sent_receipt(sent: Sent) -> pb.Receipt:
    receipt = receipt_to_pb(sent.pool_id, sent.record.receipt, sent.replies)
    receipt.deduplicated = sent.deduplicated
    return receipt


def receipt_to_pb(pool_id: str, receipt: Receipt, replies: Sequence[Reply]) -> pb.Receipt:
    failure = receipt.failure
    return pb.Receipt(
        pool_id=pool_id,
        message_id=receipt.message_id,
        state=enums.MESSAGE_STATE_TO_PB[receipt.state],
        delivered_to=[
            pb.Recipient(run_id=each.run_id, agent_id=each.agent_id)
            for each in receipt.delivered_to
        ],
        excluded=[
            pb.Exclusion(
                run_id=each.run_id,
                agent_id=each.agent_id,
                reason=enums.UNDELIVERED_TO_PB[each.reason],
            )
            for each in receipt.excluded
        ],
        excluded_count=receipt.excluded_count,
        failure_reason=None if failure is None else enums.UNDELIVERED_TO_PB[failure],
        sequence=receipt.sequence,
        cursor=cursor_of(pool_id, receipt.sequence),
        replies=[_reply_to_pb(each) for each in replies],
    )


def _reply_to_pb(reply: Reply) -> pb.Reply:
    return pb.Reply(
        request_message_id=reply.request_message_id,
        responder_run_id=reply.responder_run_id,
        reply_message_id=reply.reply_message_id,
        late=reply.late,
        sequence=reply.sequence,
        reply_time=time_to_pb(reply.reply_time),
    )


def message_to_pb(message: Message, body: InlineBody | None) -> pb.Message:
    return pb.Message(
        message_id=message.message_id,
        from_run_id=message.from_run_id,
        from_agent_id=message.from_agent_id,
        to=_address_to_pb(message.to),
        content_ref=message.content_ref or None,
        inline_body=pb.InlineBody(data=body.data, media_type=body.media_type) if body else None,
        correlation=correlation_to_pb(message.correlation),
        reply_to=message.reply_to,
        response_contract=_contract_to_pb(message.contract),
        expire_time=time_to_pb(message.expire_time),
        idempotency_key=message.idempotency_key,
        policy_refs=policies_to_pb(message.policy_refs),
        accept_time=time_to_pb(message.accept_time),
        late=message.late,
        body_bytes=message.body_bytes,
        body_sha256=bytes.fromhex(message.body_sha256),
    )


def _contract_to_pb(contract: ResponseContract | None) -> pb.ResponseContract | None:
    if contract is None:
        return None
    return pb.ResponseContract(
        expected_responses=contract.expected_responses, timeout=duration_to_pb(contract.timeout)
    )


def _address_to_pb(to: Address) -> pb.Address:
    is_to = {kind: to.value if to.kind is kind else None for kind in TargetKind}
    return pb.Address(
        run_id=is_to[TargetKind.RUN],
        agent_id=is_to[TargetKind.AGENT],
        topic=is_to[TargetKind.TOPIC],
        pool_id=is_to[TargetKind.POOL],
        cardinality=enums.CARDINALITY_TO_PB[to.cardinality],
    )


def fetched_to_pb(fetched: Fetched) -> rpc.FetchInboxResponse:
    return rpc.FetchInboxResponse(
        deliveries=[_parcel_to_pb(fetched.pool_id, each) for each in fetched.parcels],
        unfetched=[_unfetched_to_pb(each) for each in fetched.unfetched],
        cursor=cursor_of(fetched.pool_id, fetched.seen_sequence),
        more=fetched.more,
    )


def _parcel_to_pb(pool_id: str, parcel: Parcel) -> pb.Delivery:
    message = message_to_pb(parcel.record.message, parcel.body)
    return _delivery_to_pb(pool_id, parcel.delivery, message, parcel.record.message.traceparent)


def _delivery_to_pb(
    pool_id: str, delivery: Delivery, message: pb.Message, traceparent: str
) -> pb.Delivery:
    leased = delivery.state is DeliveryState.LEASED
    return pb.Delivery(
        pool_id=pool_id,
        run_id=delivery.run_id,
        message=message,
        sequence=delivery.sequence,
        state=enums.DELIVERY_STATE_TO_PB[delivery.state],
        attempt=delivery.attempt,
        lease_token=delivery.lease_token,
        lease_expire_time=time_to_pb(delivery.due_time) if leased else None,
        due_time=time_to_pb(delivery.due_time),
        traceparent=traceparent,
    )


def _unfetched_to_pb(unfetched: Unfetched) -> rpc.UnfetchedMessage:
    state = unfetched.state
    return rpc.UnfetchedMessage(
        message_id=unfetched.message_id,
        state=None if state is None else enums.DELIVERY_STATE_TO_PB[state],
    )


def acked_to_pb(acked: Acked) -> rpc.AckDeliveryResponse:
    message = acked.record.message
    bare = pb.Message(message_id=message.message_id, from_run_id=message.from_run_id)
    delivery = _delivery_to_pb(acked.pool_id, acked.delivery, bare, message.traceparent)
    return rpc.AckDeliveryResponse(delivery=delivery, changed=acked.changed)


def suspended_to_pb(suspended: Suspended) -> rpc.SuspendUntilResponse:
    return rpc.SuspendUntilResponse(
        wake=wake_to_pb(suspended.pool_id, suspended.wake), deduplicated=suspended.deduplicated
    )


def wake_cancelled_to_pb(cancelled: WakeCancelled) -> rpc.CancelWakeResponse:
    return rpc.CancelWakeResponse(
        wake=wake_to_pb(cancelled.pool_id, cancelled.wake), changed=cancelled.changed
    )


def message_view_to_pb(view: MessageView) -> rpc.GetMessageResponse:
    bare = pb.Message(message_id=view.record.message.message_id)
    traceparent = view.record.message.traceparent
    return rpc.GetMessageResponse(
        message=message_to_pb(view.record.message, view.body),
        receipt=receipt_to_pb(view.pool_id, view.record.receipt, view.replies),
        deliveries=[
            # The token belongs to the recipient alone.
            _without_token(_delivery_to_pb(view.pool_id, each, bare, traceparent))
            for each in view.deliveries
        ],
    )


def _without_token(delivery: pb.Delivery) -> pb.Delivery:
    delivery.ClearField("lease_token")
    return delivery


def stored(to_pb: Callable[[T], ProtobufMessage]) -> Callable[[T], bytes]:
    """What the store remembers of an answer."""
    return lambda answer: to_pb(answer).SerializeToString(deterministic=True)


ENCODE = Encode(
    opened=stored(opened_to_pb),
    joined=stored(joined_to_pb),
    sent=stored(sent_to_pb),
    responded=stored(responded_to_pb),
    fetched=stored(fetched_to_pb),
    acked=stored(acked_to_pb),
    suspended=stored(suspended_to_pb),
    wake_cancelled=stored(wake_cancelled_to_pb),
)
