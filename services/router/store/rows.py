"""Conversions between rows and entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.chassis.store.port import Row
from services.router.core.decision import SkipReason
from services.router.core.failures import FailureClass
from services.router.core.pins import Pin
from services.router.core.quarantine import Quarantine
from services.router.core.quota import QuotaDeadline
from services.router.core.shared_entry import Entry, Kind

_REASONS: Mapping[str, FailureClass | SkipReason] = {
    reason.value: reason for reason in (*FailureClass, *SkipReason)
}


class _PinBody(msgspec.Struct):
    """What the key and the instants of its entry do not say of a pin.

    A field that is added later needs a default, so that older rows can still be decoded.
    """

    revision: str
    member_id: str
    home_member_id: str
    reason: str
    run_id: str
    ttl_s: float
    traceparent: str


def key_hash(entry: Entry[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode((entry.kind, entry.key))).hexdigest()


def entry_params(entry: Entry[Any]) -> dict[str, object]:
    value = _pin_body(entry.value) if isinstance(entry.value, Pin) else entry.value
    return {
        "key_hash": key_hash(entry),
        "kind": entry.kind.value,
        "key": msgspec.json.encode(entry.key).decode(),
        "body": None if value is None else msgspec.json.encode(value).decode(),
        "changed_at": entry.changed_at,
        "extended_at": entry.extended_at,
        "ends_at": entry.ends_at,
    }


def entry_of(row: Row) -> Entry[Any]:
    kind = Kind(row.kind)
    key = tuple(msgspec.json.decode(row.key, type=list[str]))
    value = None if row.body is None else _DECODERS[kind](row, key)
    return Entry(kind, key, value, row.changed_at, row.extended_at, row.ends_at)


def _pin_body(pin: Pin) -> _PinBody:
    return _PinBody(
        revision=pin.revision,
        member_id=pin.member_id,
        home_member_id=pin.home_member_id,
        reason="" if pin.reason is None else pin.reason.value,
        run_id=pin.run_id,
        ttl_s=pin.ttl_s,
        traceparent=pin.traceparent,
    )


def _pin_of(row: Row, key: tuple[str, ...]) -> Pin:
    body = msgspec.json.decode(row.body, type=_PinBody)
    tenant, pool_id, session = key
    return Pin(
        tenant=tenant,
        pool_id=pool_id,
        session=session,
        revision=body.revision,
        member_id=body.member_id,
        home_member_id=body.home_member_id,
        reason=_REASONS.get(body.reason),
        run_id=body.run_id,
        moved_at=row.changed_at,
        used_at=row.extended_at,
        ttl_s=body.ttl_s,
        traceparent=body.traceparent,
    )


def _plain(of: type) -> Callable[[Row, tuple[str, ...]], Any]:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(of)
    return lambda row, _key: decoder.decode(row.body)


_DECODERS: Mapping[Kind, Callable[[Row, tuple[str, ...]], Any]] = {
    Kind.PIN: _pin_of,
    Kind.QUOTA_DEADLINE: _plain(QuotaDeadline),
    Kind.RESET: _plain(str),
    Kind.CORDON: _plain(bool),
    Kind.QUARANTINE: _plain(Quarantine),
}
