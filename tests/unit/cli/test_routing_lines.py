"""What ``runyard router state`` says of a member."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from runyard.router.v1 import router_pb2 as pb
from services.cli.runs.routing import member_line


def test_the_limits_of_a_provider_are_shown_as_far_as_they_are_known() -> None:
    # given
    reset = Timestamp(seconds=1_767_225_630)
    windows = [
        pb.QuotaWindow(kind="requests", limit=500, remaining=0, reset_time=reset),
        pb.QuotaWindow(kind="tokens", remaining=7),
        pb.QuotaWindow(kind="day", reset_time=reset),
    ]
    member = pb.MemberState(
        target_id="p", member_id="m", breaker=pb.BREAKER_STATE_CLOSED, windows=windows
    )

    # when
    line = "".join(part if isinstance(part, str) else part[0] for part in member_line(member))

    # then
    assert line == (
        "p: m, circuit closed, requests: 0 of 500 left until 2026-01-01 00:00:30 UTC, "
        "tokens: 7 left, day: ? left until 2026-01-01 00:00:30 UTC"
    )
