"""Wakes: the end of a wait on a pool, stored in every state of the run and taken by its call once.

A wake is a row with the id of its condition as key. If its run waits, the continuation is queued;
if its run executes, the next ``advance`` finds it. The call takes the wake after the messages it
names were fetched. A message that is in the conversation already is acknowledged again and not
shown a second time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum

from services.chassis.ids import IdSource
from services.runcontrol.core.builtin_tools import condition_id, wait_again
from services.runcontrol.core.commands import (
    AckCommand,
    Effect,
    FetchedMessage,
)
from services.runcontrol.core.events import RunWoken
from services.runcontrol.core.exchange import (
    Call,
    CallState,
    Delivery,
    Wake,
    WakeEvent,
    WakeStatus,
)
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.model import Cause
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.work import Work

# The event of a message that was delivered; the message itself follows.
_DELIVERED = "message.delivered"


class WakeOutcome(Enum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    DROPPED = "dropped"
    RUN_FINISHED = "run_finished"


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Messages that a wake names, which have to be fetched before the call can take it."""

    call_id: str
    pool_id: str
    message_ids: tuple[str, ...]


def wake(work: Work, arrived: Wake, ids: IdSource) -> Work:
    """Store a new wake; queue the continuation of a run that waits for it."""
    work = work.with_wake(arrived)
    call = _waiting_call(work, arrived)
    call_id = call.call_id if call else ""
    suspended = arrived.suspension_traceparent or (call.traceparent if call else "")
    work = work.emit(RunWoken("wake", call_id, arrived.status, arrived.cause_traceparent))
    if call is None:
        return work
    cause = Cause("wake", arrived.cause_traceparent, suspended)
    return resolve(work, call_id, cause, ids)


def _waiting_call(work: Work, arrived: Wake) -> Call | None:
    return next(
        (c for c in work.calls if c.condition_id == arrived.condition_id and not c.settled), None
    )


def to_fetch(call: Call, arrived: Wake) -> FetchRequest | None:
    """The messages to fetch before ``call`` can take ``arrived``; None when it names none."""
    if not arrived.message_ids:
        return None
    return FetchRequest(call.call_id, arrived.pool_id, arrived.message_ids)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The deliveries that a wake names.

    Attributes:
        messages: Those that the pool leased to the run.
        seen: Ids of those whose messages are in the run's conversation already.
    """

    messages: tuple[FetchedMessage, ...] = ()
    seen: frozenset[str] = frozenset()


def take_wake(work: Work, call: Call, arrived: Wake, fetched: Fetched, trace: str) -> Work:
    """Settle ``call`` with its wake, or register its wait again if every message is known."""
    work = work.with_wake(replace(arrived, taken=True))
    again = wait_again(call, work, arrived.pool_id, arrived.after)
    if again.for_any_message:
        work = move_cursor(work, arrived.pool_id, arrived.after)
    work, new = take_messages(work, call, arrived.pool_id, fetched, trace)
    others = [event for event in arrived.events if event.kind != _DELIVERED]
    # Only known messages: the wait goes on after the wake's cursor. Without a cursor there is no
    # place to go on from, and the call ends without messages.
    known = bool(arrived.message_ids) and fetched.seen.issuperset(arrived.message_ids)
    if known and not others and arrived.status is WakeStatus.TRIGGERED and arrived.after:
        return _wait_again(work, call, arrived, trace)
    succeeded = arrived.status in (WakeStatus.TRIGGERED, WakeStatus.TIMED_OUT)
    state = CallState.SUCCEEDED if succeeded else CallState.FAILED
    return settle_call(work, call, state, _result(arrived, new, others))


def take_messages(
    work: Work, call: Call, pool_id: str, fetched: Fetched, trace: str
) -> tuple[Work, list[FetchedMessage]]:
    """Add the new ones of the messages that ``call`` fetched, and return them.

    The others are acknowledged again.
    """
    new = [message for message in fetched.messages if message.message_id not in fetched.seen]
    for message in fetched.messages:
        if message.message_id in fetched.seen:
            work = _acknowledge(work, call, pool_id, message, trace)
    for message in new:
        work = _add_delivery(work, call, pool_id, message)
    return work, new


def move_cursor(work: Work, pool_id: str, cursor: str) -> Work:
    """Let the next wait begin after ``cursor``, before which every message to the run was taken."""
    known = work.membership(pool_id)
    if known is None or not cursor:
        return work
    return work.with_membership(replace(known, cursor=cursor))


def _acknowledge(work: Work, call: Call, pool_id: str, message: FetchedMessage, trace: str) -> Work:
    return work.effect(
        Effect(_ack(work, call.call_id, pool_id, message.message_id, message.receipt), trace)
    )


def _ack(work: Work, call_id: str, pool_id: str, message_id: str, receipt: str) -> AckCommand:
    run = work.run
    return AckCommand(run.tenant, run.principal, run.run_id, call_id, pool_id, message_id, receipt)


def _add_delivery(work: Work, call: Call, pool_id: str, message: FetchedMessage) -> Work:
    key = (pool_id, message.message_id)
    rest = tuple(d for d in work.deliveries if (d.pool_id, d.message_id) != key)
    added = Delivery(
        tenant=call.tenant,
        run_id=call.run_id,
        pool_id=pool_id,
        message_id=message.message_id,
        receipt=message.receipt,
        body=message.body,
        position=1 + max((d.position for d in rest), default=0),
    )
    return replace(work, deliveries=(*rest, added))


def _wait_again(work: Work, call: Call, arrived: Wake, trace: str) -> Work:
    again = replace(call, generation=call.generation + 1, traceparent=trace)
    again = replace(again, condition_id=condition_id(again))
    command = wait_again(again, work, arrived.pool_id, arrived.after)
    return work.with_call(again).effect(Effect(command, trace))


def _result(arrived: Wake, new: list[FetchedMessage], others: list[WakeEvent]) -> str:
    facts: dict[str, object] = {
        "status": arrived.status.value,
        "pool_id": arrived.pool_id,
        "message_ids": [message.message_id for message in new],
    }
    if others:
        facts["events"] = [
            {name: value for name, value in asdict(event).items() if value} for event in others
        ]
    if arrived.summary:
        facts["summary"] = arrived.summary
    return json.dumps(facts, ensure_ascii=False)


def show_deliveries(work: Work, trace: str) -> tuple[Work, tuple[Delivery, ...]]:
    """Mark fetched messages as shown, acknowledge them, and return them in order."""
    fresh = work.deliveries
    for delivery in fresh:
        command = _ack(work, "", delivery.pool_id, delivery.message_id, delivery.receipt)
        work = work.effect(Effect(command, trace))
    shown = tuple(replace(d, shown=True) for d in fresh)
    return replace(work, deliveries=shown), fresh
