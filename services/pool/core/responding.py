"""Responding: who may answer a message, and when its response contract is met."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.pool.core.digests import sha256
from services.pool.core.errors import NotARecipientError
from services.pool.core.model import (
    Address,
    Answer,
    Content,
    ContentRef,
    Draft,
    Message,
    MessageRecord,
    MessageState,
    Reply,
    TargetKind,
)


def draft_of(answer: Answer, request: MessageRecord) -> Draft:
    """The message that carries ``answer`` to the sender of ``request``."""
    asked = request.message
    return Draft(
        from_run_id=answer.run_id,
        to=Address(TargetKind.RUN, asked.from_run_id),
        content=answer.content,
        idempotency_key=answer.idempotency_key,
        message_id=answer.message_id,
        correlation=asked.correlation if answer.correlation is None else answer.correlation,
        reply_to=asked.message_id,
        policy_refs=answer.policy_refs,
    )


def is_recipient(request: MessageRecord, run_id: str) -> bool:
    return any(recipient.run_id == run_id for recipient in request.receipt.delivered_to)


def check_recipient(request: MessageRecord, run_id: str) -> None:
    """Raises:
    NotARecipientError: The message was not delivered to the run.
    """
    if not is_recipient(request, run_id):
        raise NotARecipientError.of(request.message.message_id, run_id)


def has_content(message: Message, content: Content) -> bool:
    """Whether ``message`` carries ``content``."""
    if isinstance(content, ContentRef):
        return message.content_ref == content.content_ref
    return (message.media_type, message.body_sha256) == (content.media_type, sha256(content.data))


def is_late(request: MessageRecord, now: datetime) -> bool:
    """Whether an answer at ``now`` comes after the response contract has ended.

    A contract also ends at its due time when its timer has not fired yet.
    """
    if request.message.contract is None:
        return False
    due_time = request.message.response_due_time
    ended = request.receipt.state is not MessageState.DELIVERED
    return ended or (due_time is not None and due_time <= now)


def reply_of(message: Message, sequence: int, now: datetime) -> Reply:
    return Reply(
        request_message_id=message.reply_to,
        responder_run_id=message.from_run_id,
        reply_message_id=message.message_id,
        late=message.late,
        sequence=sequence,
        reply_time=now,
    )


def is_met(request: MessageRecord, replies: Sequence[Reply], now: datetime) -> bool:
    """Whether ``replies`` fulfil a contract that is still open."""
    contract = request.message.contract
    if contract is None or is_late(request, now):
        return False
    return len(replies) >= contract.expected_responses
