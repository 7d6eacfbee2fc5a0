"""How long calls take and how many run, as the rpc conventions want it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.interceptors.record import SERVER_FAULTS, CallRecord
from services.chassis.metrics import Histogram, UpDownCounter, measuring
from services.chassis.telemetry_names import (
    ERROR_TYPE,
    RPC_ACTIVE_CALLS,
    RPC_METHOD,
    RPC_SERVER_DURATION,
    RPC_STATUS,
    RPC_SYSTEM,
)

DURATION = Histogram(RPC_SERVER_DURATION, "s", "How long calls took, streams to their end.")
ACTIVE = UpDownCounter(RPC_ACTIVE_CALLS, "{call}", "Calls that are being handled.")


@contextmanager
def metered(record: CallRecord) -> Iterator[None]:
    """Count and time the call of the block; probes and reflection are left out."""
    if record.housekeeping or not measuring():
        yield
        return
    # The name of an unknown method is whatever the caller made up: no key for a series.
    method = record.method.removeprefix("/") if record.known else "_OTHER"
    attributes: dict[str, str] = {RPC_SYSTEM: "grpc", RPC_METHOD: method}
    started_s = time.monotonic()
    with ACTIVE.one_more(attributes):
        try:
            yield
        finally:
            attributes = {**attributes, RPC_STATUS: record.code.name}
            if record.code in SERVER_FAULTS:
                attributes[ERROR_TYPE] = record.reason or record.code.name
            DURATION.record_since(started_s, attributes)
