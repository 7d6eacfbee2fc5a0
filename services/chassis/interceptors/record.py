"""What is known of one call, filled in while it runs; read by its span and its log line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from services.chassis.caller import Principal
from services.chassis.policy import MethodPolicy

Metadata = Mapping[str, str | bytes]

# The server is to blame for these, by the conventions for spans.
SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


@dataclass(slots=True)
class CallRecord:
    """One call.

    Attributes:
        known: Whether the server has such a method; the name of an unknown one is the caller's.
        code: How it ended; OK until then.
    """

    method: str
    policy: MethodPolicy
    peer: str
    metadata: Metadata
    known: bool = True
    housekeeping: bool = False
    principal: Principal | None = None
    code: grpc.StatusCode = field(default=grpc.StatusCode.OK)
    reason: str = ""
    error_id: str = ""
