"""Members and pins of the router in words."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from runyard.provider.v1.provider_pb2 import FailureClass
from runyard.router.v1 import router_pb2 as pb
from services.cli.base.layout import Part
from services.cli.runs.decision import why_moved, words

_STYLES = {
    pb.BREAKER_STATE_CLOSED: "green",
    pb.BREAKER_STATE_OPEN: "bold red",
    pb.BREAKER_STATE_HALF_OPEN: "yellow",
}


def member_line(member: pb.MemberState) -> list[Part]:
    """The circuit of a member, its last failure, quarantine, quota deadline and known limits."""
    circuit = words(pb.BreakerState.DESCRIPTOR, member.breaker)
    parts: list[Part] = [
        f"{member.target_id}: " if member.target_id != member.member_id else "",
        (member.member_id, "bold"),
        ", circuit ",
        (circuit, _STYLES.get(member.breaker, "")),
    ]
    if member.HasField("probe_time"):
        parts.append(f" until {_clock(member.probe_time)}")
    if member.breaker == pb.BREAKER_STATE_HALF_OPEN:
        parts.append(f", {member.probes_in_flight} of {member.probes_allowed} probes in flight")
    if member.consecutive_failures:
        parts.append(f", failed calls in a row: {member.consecutive_failures}")
    if member.last_failure:
        failure = words(FailureClass.DESCRIPTOR, member.last_failure)
        parts.append(f", last {failure} at {_clock(member.last_failure_time)}")
    if member.quarantine:
        failure = words(FailureClass.DESCRIPTOR, member.quarantine)
        parts.append(f", quarantined for {failure}, round {member.quarantine_round}")
    if member.HasField("quarantine_end_time"):
        parts.append(f", until {_clock(member.quarantine_end_time)}")
    if member.cordoned:
        parts.append(f", cordoned since {_clock(member.cordon_time)}")
    if member.HasField("quota_end_time"):
        parts.append(f", in a quota deadline until {_clock(member.quota_end_time)}")
    parts += [f", {_window(each)}" for each in member.windows]
    return parts


def _window(window: pb.QuotaWindow) -> str:
    """``requests: 0 of 500 left until …``, as far as it is known."""
    left = str(window.remaining) if window.HasField("remaining") else "?"
    limit = f" of {window.limit}" if window.HasField("limit") else ""
    until = f" until {_clock(window.reset_time)}" if window.HasField("reset_time") else ""
    return f"{window.kind}: {left}{limit} left{until}"


def pin_line(pin: pb.Pin) -> list[Part]:
    """Where a session is held, why, and until when."""
    away = f" instead of {pin.home_member_id}" if pin.member_id != pin.home_member_id else ""
    why = why_moved(pin.reason, pin.skip_reason)
    return [
        f"{pin.pool_id}: ",
        (pin.session, "bold"),
        " is held on ",
        (pin.member_id, "bold"),
        f"{away}{f' ({why})' if why else ''}, until {_clock(pin.expire_time)} unless it is used",
    ]


def _clock(time: Timestamp) -> str:
    return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
