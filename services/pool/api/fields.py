"""Small values as protobuf, shared by every answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.pool.v1 import pool_pb2 as pb
from services.pool.core.model import Correlation, Policies


def time_to_pb(instant: datetime | None) -> Timestamp | None:
    """None for None, which leaves the field unset."""
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def duration_to_pb(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    duration = Duration()
    duration.FromTimedelta(length)
    return duration


def policies_to_pb(refs: Policies) -> list[pb.PolicyRef]:
    return [
        pb.PolicyRef(kind=each.kind, policy_id=each.policy_id, version=each.version)
        for each in refs
    ]


def correlation_to_pb(entries: Sequence[Correlation]) -> list[pb.Correlation]:
    return [pb.Correlation(key=each.key, value=each.value) for each in entries]
