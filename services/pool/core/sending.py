"""Sending: the message, receipt, events, deliveries and timers that result from a draft."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from services.pool.core.addressing import Resolution
from services.pool.core.digests import sha256
from services.pool.core.errors import ContractUnsatisfiableError
from services.pool.core.events import Event, EventKind, Timer, TimerKind
from services.pool.core.model import (
    ContentRef,
    Delivery,
    Draft,
    InlineBody,
    Member,
    Message,
    MessageRecord,
    MessageState,
    Receipt,
    TargetKind,
    Undelivered,
)

KIND_OF = {
    MessageState.ACCEPTED: EventKind.MESSAGE_ACCEPTED,
    MessageState.DELIVERED: EventKind.MESSAGE_DELIVERED,
    MessageState.RESPONDED: EventKind.MESSAGE_RESPONDED,
    MessageState.FAILED: EventKind.MESSAGE_FAILED,
    MessageState.TIMED_OUT: EventKind.MESSAGE_TIMED_OUT,
    MessageState.EXPIRED: EventKind.MESSAGE_EXPIRED,
}
_NOT_TERMINAL = frozenset({MessageState.ACCEPTED, MessageState.DELIVERED})


def accept(draft: Draft, sender: Member, message_id: str, now: datetime) -> Message:
    """The message of ``draft`` without its body, which is stored separately."""
    body = draft.content if isinstance(draft.content, InlineBody) else None
    return Message(
        message_id=message_id,
        from_run_id=draft.from_run_id,
        from_agent_id=sender.agent_id,
        to=draft.to,
        idempotency_key=draft.idempotency_key,
        accept_time=now,
        content_ref=draft.content.content_ref if isinstance(draft.content, ContentRef) else "",
        media_type=body.media_type if body else "",
        body_bytes=len(body.data) if body else 0,
        body_sha256=sha256(body.data) if body else "",
        correlation=draft.correlation,
        reply_to=draft.reply_to,
        contract=draft.contract,
        expire_time=draft.expire_time,
        policy_refs=draft.policy_refs,
    )


def is_expired(draft: Draft, now: datetime) -> bool:
    return draft.expire_time is not None and draft.expire_time <= now


def outcome(message: Message, resolution: Resolution, *, expired: bool) -> Receipt:
    """The receipt, with sequence 0; expiry takes precedence over having no recipient.

    Raises:
        ContractUnsatisfiableError: More answers are asked for than there are recipients.
    """
    if expired:
        return Receipt(message.message_id, MessageState.EXPIRED, 0, failure=Undelivered.EXPIRED)
    if message.contract is not None and resolution.failure is None:
        _check_contract(message, len(resolution.recipients))
    return Receipt(
        message_id=message.message_id,
        state=MessageState.FAILED if resolution.failure else MessageState.DELIVERED,
        sequence=0,
        delivered_to=resolution.recipients,
        excluded=resolution.listed_exclusions,
        excluded_count=len(resolution.excluded),
        failure=resolution.failure,
    )


def _check_contract(message: Message, recipients: int) -> None:
    expected = message.contract.expected_responses if message.contract else 0
    if expected > recipients:
        raise ContractUnsatisfiableError.of(message.message_id, expected, recipients)


def states_of(receipt: Receipt) -> tuple[MessageState, ...]:
    """The states to record: accepted before delivered, every other state alone."""
    if receipt.state is MessageState.DELIVERED:
        return MessageState.ACCEPTED, MessageState.DELIVERED
    return (receipt.state,)


def event_of(
    record: MessageRecord, state: MessageState, *, observable: bool, reply_message_id: str = ""
) -> Event:
    """The event that ``record`` entered ``state``."""
    message = record.message
    to = message.to
    return Event(
        kind=KIND_OF[state],
        sender_run_id=message.from_run_id,
        sender_agent_id=message.from_agent_id,
        message_id=message.message_id,
        reply_to=message.reply_to,
        reply_message_id=reply_message_id,
        topic=to.value if to.kind is TargetKind.TOPIC else "",
        to_agent_id=to.value if to.kind is TargetKind.AGENT else "",
        recipient_run_ids=tuple(each.run_id for each in record.receipt.delivered_to),
        correlation=message.correlation,
        content_ref=message.content_ref,
        policy_refs=message.policy_refs,
        terminal=state not in _NOT_TERMINAL,
        observable=observable,
    )


def deliveries(record: MessageRecord) -> Iterable[Delivery]:
    """One per recipient, in the order of the receipt."""
    message = record.message
    return [
        Delivery(
            message_id=message.message_id,
            run_id=recipient.run_id,
            sequence=record.receipt.sequence,
            due_time=message.accept_time,
            expire_time=message.expire_time,
        )
        for recipient in record.receipt.delivered_to
    ]


def timers(message: Message) -> list[Timer]:
    """The timers of a message that was delivered: its expiry and its response time-out."""
    found = []
    if message.expire_time is not None:
        found.append(Timer(TimerKind.EXPIRY, message.message_id, message.expire_time))
    due_time = message.response_due_time
    if due_time is not None and not times_out_at_once(message):
        found.append(Timer(TimerKind.RESPONSE, message.message_id, due_time))
    return found


def times_out_at_once(message: Message) -> bool:
    """Whether its contract has a time-out of zero, which ends it with the delivery."""
    return message.response_due_time == message.accept_time


def entered(record: MessageRecord, state: MessageState, sequence: int) -> MessageRecord:
    """``record`` after the log record ``sequence`` put it into ``state``."""
    return replace(record, receipt=replace(record.receipt, state=state, sequence=sequence))
