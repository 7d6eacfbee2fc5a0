"""Leasing: one attempt at a time holds a delivery; the lease token identifies the attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.pool.core.errors import IllegalTransitionError, StaleLeaseError
from services.pool.core.model import Delivery, DeliveryState


def state_at(delivery: Delivery | None, now: datetime) -> DeliveryState | None:
    """The state at ``now``: expired also when the timer that expires it has not fired yet."""
    if delivery is None:
        return None
    lapsed = delivery.expire_time is not None and delivery.expire_time <= now
    return DeliveryState.EXPIRED if lapsed and delivery.state.is_open else delivery.state


def is_available(delivery: Delivery, now: datetime) -> bool:
    """Whether it can be leased by name; an earlier lease does not prevent that."""
    state = state_at(delivery, now)
    return state is not None and state.is_open


def lease(delivery: Delivery, token: str, length: timedelta, now: datetime) -> Delivery:
    """The delivery leased for its next attempt; the previous token becomes stale."""
    return replace(
        delivery,
        state=DeliveryState.LEASED,
        attempt=delivery.attempt + 1,
        lease_token=token,
        due_time=now + length,
    )


def acknowledge(delivery: Delivery, token: str, now: datetime) -> Delivery:
    """``delivery`` acknowledged; a repeat changes nothing.

    The token of a lapsed lease is valid until the delivery is fetched again.

    Raises:
        StaleLeaseError: ``token`` is not that of the newest attempt.
        IllegalTransitionError: The delivery has expired.
    """
    state = state_at(delivery, now)
    if state is DeliveryState.ACKED:
        return delivery
    if state is DeliveryState.EXPIRED:
        raise IllegalTransitionError.of(delivery.message_id, state, DeliveryState.ACKED)
    if delivery.lease_token != token:
        raise StaleLeaseError.of(delivery.message_id, delivery.attempt)
    return replace(delivery, state=DeliveryState.ACKED)
