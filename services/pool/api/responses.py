"""Responses from results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.decoder import duration_to_pb, instant_to_pb
from services.chassis.protobuf.pages import page_token
from services.pool.api import enums
from services.pool.api.requests import CURSORS
from services.pool.core.digests import filter_fingerprint
from services.pool.core.events import Event, EventFilter, ResumePolicy, Start, Wake, WakeCondition
from services.pool.core.joining import Joined
from services.pool.core.model import (
    Address,
    Correlation,
    Delivery,
    DeliveryState,
    InlineBody,
    Member,
    Message,
    Policies,
    Pool,
    PoolConfig,
    Receipt,
    Reply,
    ResponseContract,
    TargetKind,
)
from services.pool.core.opening import Opened
from services.pool.core.results import (
    Acked,
    Fetched,
    FetchedDelivery,
    MemberPage,
    MessageView,
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
        state=enums.POOL_STATES.to_pb[pool.state],
        etag=str(pool.revision),
        created=pool.created,
        member_count=pool.member_count,
        head_sequence=pool.head_sequence,
        oldest_sequence=pool.oldest_sequence,
        create_time=instant_to_pb(pool.create_time),
        update_time=instant_to_pb(pool.update_time),
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
        leaver_policy=enums.LEAVER_POLICIES.to_pb[config.leaver_policy],
    )


def joined_to_pb(joined: Joined) -> rpc.JoinPoolResponse:
    return rpc.JoinPoolResponse(
        member=member_to_pb(joined.member),
        changed=joined.changed,
        cursor=CURSORS.encode(joined.pool_id, joined.head_sequence),
        sequence=joined.member.sequence,
    )


def members_to_pb(page: MemberPage, request: rpc.ListMembersRequest) -> rpc.ListMembersResponse:
    position = (page.members[-1].run_id,) if page.more else None
    return rpc.ListMembersResponse(
        members=map(member_to_pb, page.members), next_page_token=page_token(request, position)
    )


def member_to_pb(member: Member) -> pb.Member:
    return pb.Member(
        run_id=member.run_id,
        agent_id=member.agent_id,
        policy_refs=policies_to_pb(member.policy_refs),
        topics=member.topics,
        incarnation=member.incarnation,
        join_time=instant_to_pb(member.join_time),
    )


def sent_to_pb(sent: Sent) -> rpc.SendMessageResponse:
    return rpc.SendMessageResponse(receipt=_sent_receipt(sent))


def responded_to_pb(responded: Responded) -> rpc.RespondResponse:
    return rpc.RespondResponse(
        receipt=_sent_receipt(responded.answer),
        request_state=enums.MESSAGE_STATES.to_pb[responded.request_state],
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
        state=enums.MESSAGE_STATES.to_pb[receipt.state],
        delivered_to=[
            pb.Recipient(run_id=each.run_id, agent_id=each.agent_id)
            for each in receipt.delivered_to
        ],
        excluded=[
            pb.Exclusion(
                run_id=each.run_id,
                agent_id=each.agent_id,
                reason=enums.UNDELIVERED.to_pb[each.reason],
            )
            for each in receipt.excluded
        ],
        excluded_count=receipt.excluded_count,
        failure_reason=None if failure is None else enums.UNDELIVERED.to_pb[failure],
        sequence=receipt.sequence,
        cursor=CURSORS.encode(pool_id, receipt.sequence),
        replies=[_reply_to_pb(each) for each in replies],
    )


def _reply_to_pb(reply: Reply) -> pb.Reply:
    return pb.Reply(
        request_message_id=reply.request_message_id,
        responder_run_id=reply.responder_run_id,
        reply_message_id=reply.reply_message_id,
        late=reply.late,
        sequence=reply.sequence,
        reply_time=instant_to_pb(reply.reply_time),
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
        expire_time=instant_to_pb(message.expire_time),
        idempotency_key=message.idempotency_key,
        policy_refs=policies_to_pb(message.policy_refs),
        accept_time=instant_to_pb(message.accept_time),
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
        cardinality=enums.CARDINALITIES.to_pb[to.cardinality],
    )


def fetched_to_pb(fetched: Fetched) -> rpc.FetchInboxResponse:
    return rpc.FetchInboxResponse(
        deliveries=[_fetched_delivery_to_pb(fetched.pool_id, each) for each in fetched.deliveries],
        unfetched=[_unfetched_to_pb(each) for each in fetched.unfetched],
        cursor=CURSORS.encode(fetched.pool_id, fetched.seen_sequence),
        more=fetched.more,
    )


def _fetched_delivery_to_pb(pool_id: str, fetched: FetchedDelivery) -> pb.Delivery:
    message = message_to_pb(fetched.record.message, fetched.body)
    return _delivery_to_pb(pool_id, fetched.delivery, message, fetched.record.message.traceparent)


def _delivery_to_pb(
    pool_id: str, delivery: Delivery, message: pb.Message, traceparent: str
) -> pb.Delivery:
    leased = delivery.state is DeliveryState.LEASED
    return pb.Delivery(
        pool_id=pool_id,
        run_id=delivery.run_id,
        message=message,
        sequence=delivery.sequence,
        state=enums.DELIVERY_STATES.to_pb[delivery.state],
        attempt=delivery.attempt,
        lease_token=delivery.lease_token,
        lease_expire_time=instant_to_pb(delivery.due_time) if leased else None,
        due_time=instant_to_pb(delivery.due_time),
        traceparent=traceparent,
    )


def _unfetched_to_pb(unfetched: Unfetched) -> rpc.UnfetchedMessage:
    state = unfetched.state
    return rpc.UnfetchedMessage(
        message_id=unfetched.message_id,
        state=None if state is None else enums.DELIVERY_STATES.to_pb[state],
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
            # Only the recipient gets the lease token.
            _without_token(_delivery_to_pb(view.pool_id, each, bare, traceparent))
            for each in view.deliveries
        ],
    )


def _without_token(delivery: pb.Delivery) -> pb.Delivery:
    delivery.ClearField("lease_token")
    return delivery


def wake_to_pb(pool_id: str, wake: Wake) -> pb.Wake:
    with_events = wake.condition.resume_with is ResumePolicy.MATCHING_EVENT_REFS
    return pb.Wake(
        pool_id=pool_id,
        condition=condition_to_pb(pool_id, wake.condition),
        state=enums.WAKE_STATES.to_pb[wake.state],
        matched_events=[event_ref_to_pb(event) for event in wake.matched] if with_events else [],
        registered_sequence=wake.registered_sequence,
        ended_sequence=wake.ended_sequence,
        cursor=CURSORS.encode(pool_id, wake.seen_sequence),
        deadline_time=instant_to_pb(wake.deadline),
        end_reason=wake.end_reason,
        suspend_traceparent=wake.suspend_traceparent,
        cause_traceparent=wake.cause_traceparent,
        filter_fingerprint=filter_fingerprint(wake.condition.filters),
        register_time=instant_to_pb(wake.register_time),
        end_time=instant_to_pb(wake.end_time),
        delivery=enums.WAKE_DELIVERIES.to_pb[wake.delivery],
    )


def condition_to_pb(pool_id: str, condition: WakeCondition) -> pb.WakeCondition:
    start = condition.match_from
    return pb.WakeCondition(
        condition_id=condition.condition_id,
        run_id=condition.run_id,
        filters=[_filter_to_pb(each) for each in condition.filters],
        after_matches=condition.after_matches,
        timeout=duration_to_pb(condition.timeout),
        start=enums.STARTS.to_pb[start] if isinstance(start, Start) else None,
        cursor=None if isinstance(start, Start) else CURSORS.encode(pool_id, start),
        resume_with=enums.RESUME_POLICIES.to_pb[condition.resume_with],
        idempotency_key=condition.idempotency_key,
        policy_refs=policies_to_pb(condition.policy_refs),
    )


def event_ref_to_pb(event: Event) -> pb.EventRef:
    return pb.EventRef(
        event_id=event.event_id,
        sequence=event.sequence,
        kind=event.kind.value,
        message_id=event.message_id,
        reply_to=event.reply_to,
        sender_run_id=event.sender_run_id,
        content_ref=event.content_ref,
        traceparent=event.traceparent,
    )


def _filter_to_pb(each: EventFilter) -> pb.EventFilter:
    return pb.EventFilter(
        kinds=each.kinds,
        recipient_run_ids=each.recipient_run_ids,
        message_ids=each.message_ids,
        reply_to=each.reply_to,
        topics=each.topics,
        sender_run_ids=each.sender_run_ids,
        sender_agent_ids=each.sender_agent_ids,
        correlation=correlation_to_pb(each.correlation),
        correlation_keys=each.correlation_keys,
        terminal_only=each.terminal_only,
    )


def policies_to_pb(refs: Policies) -> list[pb.PolicyRef]:
    return [
        pb.PolicyRef(kind=each.kind, policy_id=each.policy_id, version=each.version)
        for each in refs
    ]


def correlation_to_pb(entries: Sequence[Correlation]) -> list[pb.Correlation]:
    return [pb.Correlation(key=each.key, value=each.value) for each in entries]


OPENED = MutationResponse(rpc.OpenPoolResponse, opened_to_pb)
JOINED = MutationResponse(rpc.JoinPoolResponse, joined_to_pb)
SENT = MutationResponse(rpc.SendMessageResponse, sent_to_pb)
RESPONDED = MutationResponse(rpc.RespondResponse, responded_to_pb)
FETCHED = MutationResponse(rpc.FetchInboxResponse, fetched_to_pb)
ACKED = MutationResponse(rpc.AckDeliveryResponse, acked_to_pb)
SUSPENDED = MutationResponse(rpc.SuspendUntilResponse, suspended_to_pb)
WAKE_CANCELLED = MutationResponse(rpc.CancelWakeResponse, wake_cancelled_to_pb)
