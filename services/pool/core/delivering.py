"""Delivering: what accepting, delivering and ending a message writes within one commit."""

from __future__ import annotations

from dataclasses import replace

from services.pool.core import responding, sending
from services.pool.core.addressing import Resolution, resolve
from services.pool.core.errors import already_used
from services.pool.core.events import TimerKind
from services.pool.core.journal import Journal
from services.pool.core.model import Draft, InlineBody, Member, MessageRecord, MessageState
from services.pool.core.results import Sent


def repeated(journal: Journal, key: str, digest: bytes) -> Sent | None:
    """The message that was sent under ``key`` before, in its current state.

    Raises:
        IdempotencyConflictError: That message had other content.
    """
    pool_id = journal.pool.pool_id
    stored = journal.tx.message_by_key(pool_id, key)
    if stored is None:
        return None
    if stored.digest != digest:
        raise already_used("idempotency_key", key)
    replies = tuple(journal.tx.replies(pool_id, stored.message.message_id))
    return Sent(pool_id, stored, replies, deduplicated=True)


def deliver(journal: Journal, draft: Draft, digest: bytes, new_id: str) -> Sent:
    """Accept ``draft`` and put it into the inboxes of its recipients.

    Args:
        new_id: The message's id when the draft names none.

    Raises:
        IdempotencyConflictError: The draft's id is that of another message.
        NotAMemberError: The sender is not in the pool.
        RunNotOwnedError: The sender is bound to another principal.
        ContractUnsatisfiableError: More answers are asked for than there are recipients.
    """
    tx, pool_id = journal.tx, journal.pool.pool_id
    sender = journal.acting(draft.from_run_id)
    message_id = draft.message_id or new_id
    if draft.message_id and tx.message(pool_id, message_id) is not None:
        raise already_used("message_id", message_id)
    request = tx.message(pool_id, draft.reply_to) if draft.reply_to else None
    message = replace(
        sending.accept(draft, sender, message_id, journal.now),
        late=request is not None and responding.is_late(request, journal.now),
        traceparent=journal.caller.traceparent,
    )
    expired = sending.is_expired(draft, journal.now)
    resolution = Resolution() if expired else _resolve(journal, draft)
    receipt = sending.outcome(message, resolution, expired=expired)
    record = MessageRecord(message, receipt, digest)
    for state in sending.states_of(receipt):
        record = _recorded(journal, record, state, sender)
    tx.insert_message(pool_id, record, _body(draft))
    if receipt.state is MessageState.DELIVERED:
        record = _follow_up(journal, record)
        _count(journal, request, record)
    return Sent(pool_id, record)


def enter(
    journal: Journal, record: MessageRecord, state: MessageState, reply_message_id: str = ""
) -> MessageRecord:
    """Record that a stored message entered ``state``, and drop the time-out of its contract."""
    pool_id = journal.pool.pool_id
    sender = journal.tx.member(pool_id, record.message.from_run_id)
    entered = _recorded(journal, record, state, sender, reply_message_id)
    journal.tx.save_receipt(pool_id, entered)
    if entered.message.contract is not None:
        journal.tx.drop_timer(pool_id, TimerKind.RESPONSE, entered.message.message_id)
    return entered


def _resolve(journal: Journal, draft: Draft) -> Resolution:
    candidates = journal.tx.members_at(journal.pool.pool_id, draft.to)
    return resolve(journal.pool, draft, candidates)


def _recorded(
    journal: Journal,
    record: MessageRecord,
    state: MessageState,
    sender: Member | None,
    reply_message_id: str = "",
) -> MessageRecord:
    entered = sending.entered(record, state, journal.next_sequence)
    event = sending.event_of(
        entered, state, observable=journal.observable(sender), reply_message_id=reply_message_id
    )
    journal.record(event, entered)
    return entered


def _body(draft: Draft) -> InlineBody | None:
    return draft.content if isinstance(draft.content, InlineBody) else None


def _follow_up(journal: Journal, record: MessageRecord) -> MessageRecord:
    pool_id = journal.pool.pool_id
    journal.tx.insert_deliveries(pool_id, sending.deliveries(record))
    for timer in sending.timers(record.message):
        journal.tx.set_timer(pool_id, timer)
    if sending.times_out_at_once(record.message):
        return enter(journal, record, MessageState.TIMED_OUT)
    return record


def _count(journal: Journal, request: MessageRecord | None, answer: MessageRecord) -> None:
    """Count ``answer`` towards the contract of ``request``, once per recipient."""
    message = answer.message
    if request is None or not responding.is_recipient(request, message.from_run_id):
        return
    tx, pool_id = journal.tx, journal.pool.pool_id
    if tx.reply(pool_id, message.reply_to, message.from_run_id) is not None:
        return
    tx.insert_reply(pool_id, responding.reply_of(message, answer.receipt.sequence, journal.now))
    replies = tx.replies(pool_id, message.reply_to)
    if responding.is_met(request, replies, journal.now):
        enter(journal, request, MessageState.RESPONDED, message.message_id)
