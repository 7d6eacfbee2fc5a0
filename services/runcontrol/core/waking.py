"""The end of a wait on a pool: accepted in every state of the run, used exactly once.

A wake is a row keyed by its condition. Delivered to a waiting run it queues the continuation;
delivered to one that executes it is found at the next look at the call. The call takes it once
the messages it names were fetched; messages the run has seen are acknowledged again, not shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from services.chassis.ids import IdSource
from services.runcontrol.core.builtin_tools import condition_id
from services.runcontrol.core.commands import (
    AckCommand,
    Effect,
    FetchedMessage,
    SuspendCommand,
)
from services.runcontrol.core.events import RunWoken
from services.runcontrol.core.exchange import Call, CallState, Delivery, Wake, WakeStatus
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.model import Cause
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.work import Work


class WakeOutcome(Enum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    DROPPED = "dropped"
    RUN_FINISHED = "run_finished"


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Messages that a wake names and the run has to fetch before it goes on."""

    call_id: str
    pool_id: str
    message_ids: tuple[str, ...]


def wake(work: Work, arrived: Wake, ids: IdSource) -> Work:
    """Store a wake that is new and wanted, and let a waiting run continue with it."""
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
    """What has to be fetched before ``call`` can take ``arrived``."""
    if not arrived.message_ids:
        return None
    return FetchRequest(call.call_id, arrived.pool_id, arrived.message_ids)


@dataclass(frozen=True, slots=True)
class Take:
    """What a call needs to take the end of its wait.

    Attributes:
        fetched: The deliveries the wake names, as far as the pool still hands them out.
        seen: Ids of those the wake names that the run has read before.
    """

    fetched: tuple[FetchedMessage, ...] = ()
    seen: frozenset[str] = frozenset()


def take(work: Work, call: Call, arrived: Wake, taken: Take, trace: str) -> Work:
    """Give ``call`` what its wait came to, or wait on when there is nothing new in it."""
    work = work.with_wake(replace(arrived, taken=True))
    work = _move_cursor(work, call, arrived)
    fetched = taken.fetched
    new = [message for message in fetched if message.message_id not in taken.seen]
    for message in fetched:
        if message.message_id in taken.seen:
            work = _acknowledge(work, call, arrived.pool_id, message, trace)
    for message in new:
        work = _keep(work, call, arrived.pool_id, message)
    # A redelivery alone is nothing to wake for: the run has read it. The wait goes on from where
    # the pool has got to; without a cursor that cannot be said, and the run decides.
    known = bool(arrived.message_ids) and taken.seen.issuperset(arrived.message_ids)
    if known and arrived.status is WakeStatus.TRIGGERED and arrived.after:
        return _wait_on(work, call, arrived, trace)
    kept = arrived.status in (WakeStatus.TRIGGERED, WakeStatus.TIMED_OUT)
    state = CallState.SUCCEEDED if kept else CallState.FAILED
    return settle_call(work, call, state, _result(arrived, new))


def _move_cursor(work: Work, call: Call, arrived: Wake) -> Work:
    """Wait for what comes later next time; a wait for one answer passed over other messages."""
    known = work.membership(arrived.pool_id)
    if known is None or not arrived.after or _arguments(call).get("reply_to"):
        return work
    return work.with_membership(replace(known, cursor=arrived.after))


def _acknowledge(work: Work, call: Call, pool_id: str, message: FetchedMessage, trace: str) -> Work:
    return work.effect(
        Effect(_ack(work, call.call_id, pool_id, message.message_id, message.receipt), trace)
    )


def _ack(work: Work, call_id: str, pool_id: str, message_id: str, receipt: str) -> AckCommand:
    run = work.run
    return AckCommand(run.tenant, run.principal, run.run_id, call_id, pool_id, message_id, receipt)


def _keep(work: Work, call: Call, pool_id: str, message: FetchedMessage) -> Work:
    key = (pool_id, message.message_id)
    rest = tuple(d for d in work.deliveries if (d.pool_id, d.message_id) != key)
    kept = Delivery(
        tenant=call.tenant,
        run_id=call.run_id,
        pool_id=pool_id,
        message_id=message.message_id,
        receipt=message.receipt,
        body=message.body,
        position=1 + max((d.position for d in rest), default=0),
    )
    return replace(work, deliveries=(*rest, kept))


def _wait_on(work: Work, call: Call, arrived: Wake, trace: str) -> Work:
    again = replace(call, generation=call.generation + 1, traceparent=trace)
    again = replace(again, condition_id=condition_id(again))
    arguments = _arguments(call)
    command = SuspendCommand(
        call.tenant,
        work.run.principal,
        call.run_id,
        call.call_id,
        arrived.pool_id,
        again.condition_id,
        reply_to=arguments.get("reply_to", ""),
        timeout_s=float(arguments.get("timeout_s", 0)),
        after=arrived.after,
    )
    return work.with_call(again).effect(Effect(command, trace))


def _arguments(call: Call) -> dict[str, Any]:
    """Of a call that was sent, so they are what they should be."""
    arguments: dict[str, Any] = json.loads(call.arguments_json or "{}")
    return arguments


def _result(arrived: Wake, new: list[FetchedMessage]) -> str:
    facts: dict[str, object] = {
        "status": arrived.status.value,
        "pool_id": arrived.pool_id,
        "message_ids": [message.message_id for message in new],
    }
    if arrived.summary:
        facts["summary"] = arrived.summary
    return json.dumps(facts, ensure_ascii=False)


def show_deliveries(work: Work, trace: str) -> tuple[Work, tuple[Delivery, ...]]:
    """Mark fetched messages as shown, acknowledge them, and answer them in order."""
    fresh = work.deliveries
    for delivery in fresh:
        command = _ack(work, "", delivery.pool_id, delivery.message_id, delivery.receipt)
        work = work.effect(Effect(command, trace))
    shown = tuple(replace(d, shown=True) for d in fresh)
    return replace(work, deliveries=shown), fresh
