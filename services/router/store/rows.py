"""Conversions between rows and pins."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.store.port import Row
from services.router.core.decision import SkipReason
from services.router.core.failures import FailureClass
from services.router.core.pins import Pin

_SECOND_US = 1_000_000
_REASONS: Mapping[str, FailureClass | SkipReason] = {
    reason.value: reason for reason in (*FailureClass, *SkipReason)
}


def pin_params(pin: Pin) -> dict[str, object]:
    return {
        "tenant": pin.tenant,
        "pool_id": pin.pool_id,
        "session": pin.session,
        "revision": pin.revision,
        "member_id": pin.member_id,
        "home_member_id": pin.home_member_id,
        "reason": "" if pin.reason is None else pin.reason.value,
        "run_id": pin.run_id,
        "moved_at": pin.moved_at,
        "used_at": pin.used_at,
        "ttl_us": round(pin.ttl_s * _SECOND_US),
        "traceparent": pin.traceparent,
    }


def pin_of(row: Row) -> Pin:
    return Pin(
        tenant=row.tenant,
        pool_id=row.pool_id,
        session=row.session,
        revision=row.revision,
        member_id=row.member_id,
        home_member_id=row.home_member_id,
        reason=_REASONS.get(row.reason),
        run_id=row.run_id,
        moved_at=row.moved_at,
        used_at=row.used_at,
        ttl_s=row.ttl_us / _SECOND_US,
        traceparent=row.traceparent,
    )
