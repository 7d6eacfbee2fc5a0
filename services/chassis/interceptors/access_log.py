"""One line per call."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from services.chassis.interceptors.record import CallRecord

log = logging.getLogger("services.rpc")

_LEVELS = {
    # Somebody has to look.
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNKNOWN: logging.ERROR,
    grpc.StatusCode.DATA_LOSS: logging.ERROR,
    # Somebody may have to, if it lasts.
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
    grpc.StatusCode.DEADLINE_EXCEEDED: logging.WARNING,
    grpc.StatusCode.RESOURCE_EXHAUSTED: logging.WARNING,
    # How readers of endless streams say goodbye.
    grpc.StatusCode.CANCELLED: logging.DEBUG,
}


@contextmanager
def logged(record: CallRecord) -> Iterator[None]:
    """Log the call when the block ends, by its code; probes and reflection at debug."""
    started_s = time.monotonic()
    try:
        yield
    finally:
        level = logging.DEBUG if record.housekeeping else _LEVELS.get(record.code, logging.INFO)
        if log.isEnabledFor(level):
            log.log(level, "call", extra=_fields(record, time.monotonic() - started_s))


def _fields(record: CallRecord, lasted_s: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "rpc_method": record.method,
        "rpc_code": record.code.name,
        "duration_ms": round(lasted_s * 1_000, 3),
        "peer": record.peer,
    }
    if record.principal is not None:
        fields["principal"] = record.principal.name
        fields["tenant"] = record.principal.tenant
        if record.principal.on_behalf_of:
            fields["on_behalf_of"] = record.principal.on_behalf_of
        if record.principal.run_id:
            fields["run_id"] = record.principal.run_id
    if record.reason:
        fields["reason"] = record.reason
    if record.error_id:
        fields["error_id"] = record.error_id
    return fields
