"""What is known of one call, filled in while it runs; read by its span and its log line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
        doubled: Keys that came more than once; ``metadata`` holds the last of each.
        known: Whether the server has such a method; the name of an unknown one is the caller's.
        code: How it ended; OK until then.
    """

    method: str
    policy: MethodPolicy
    peer: str
    metadata: Metadata
    doubled: frozenset[str] = frozenset()
    known: bool = True
    housekeeping: bool = False
    principal: Principal | None = None
    code: grpc.StatusCode = field(default=grpc.StatusCode.OK)
    reason: str = ""
    error_id: str = ""


def doubled_keys(metadata: Sequence[tuple[str, str | bytes]]) -> frozenset[str]:
    """Those that ``metadata`` has more than once."""
    counts = Counter(key for key, _ in metadata)
    return frozenset(key for key, count in counts.items() if count > 1)
