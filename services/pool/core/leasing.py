"""Leasing: one attempt at a time has a delivery, and its token proves which."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.pool.core.errors import IllegalTransitionError, StaleLeaseError
from services.pool.core.model import Delivery, DeliveryState


def state_at(delivery: Delivery | None, now: datetime) -> DeliveryState | None:
    """The state with time applied: the timer that expires it may be a moment behind."""
    if delivery is None:
        return None
    lapsed = delivery.expire_time is not None and delivery.expire_time <= now
    return DeliveryState.EXPIRED if lapsed and delivery.state.is_open else delivery.state


def is_available(delivery: Delivery, now: datetime) -> bool:
    """Whether it can be leased by name, an earlier lease notwithstanding."""
    state = state_at(delivery, now)
    return state is not None and state.is_open


def lease(delivery: Delivery, token: str, length: timedelta, now: datetime) -> Delivery:
    """The next attempt; the token of the one before is stale from now on."""
    return replace(
        delivery,
        state=DeliveryState.LEASED,
        attempt=delivery.attempt + 1,
        lease_token=token,
        due_time=now + length,
    )


def acknowledge(delivery: Delivery, token: str, now: datetime) -> Delivery:
    """``delivery`` after its recipient said it has it; a repeat changes nothing.

    A lease that has lapsed is good until the delivery is fetched again.

    Raises:
        StaleLeaseError: ``token`` is not that of the newest attempt.
        IllegalTransitionError: The delivery has expired.
    """
    state = state_at(delivery, now)
    if state is DeliveryState.ACKED:
        return delivery
    if state is DeliveryState.EXPIRED:
        raise IllegalTransitionError(
            f"the delivery of message {delivery.message_id!r} has expired",
            message_id=delivery.message_id,
            state=state.value,
            wanted=DeliveryState.ACKED.value,
        )
    if delivery.lease_token != token:
        raise StaleLeaseError(
            f"the lease token is not that of attempt {delivery.attempt}",
            message_id=delivery.message_id,
            attempt=str(delivery.attempt),
        )
    return replace(delivery, state=DeliveryState.ACKED)
