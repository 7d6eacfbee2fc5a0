"""Quarantine: what failed in a way that a repeat does not cure is left alone, then probed.

none ── permanent failure ─► set aside ── pause ─► probed ── success ─► none
                                 ▲                   │
                                 ├── failure: the next round, whose pause is longer
                                 └── neutral, expired lease: the same round from now

Replicas share begin, rounds and end. Each one probes by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.router.core.breaker import CallResult, result_of
from services.router.core.failures import PERMANENT, FailureClass
from services.router.core.model import Target
from services.router.core.shared_entry import Entry as SharedEntry
from services.router.core.shared_entry import Key, Kind, ended

FIRST_PAUSE_S = 900.0
LONGEST_PAUSE_S = 7_200.0
# A probe may take a while after the longest pause. Shorter than the end of something is kept, so
# that no reset is forgotten before what it has ended.
SHARED_S = 2.0 * LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The state between two events.

    Attributes:
        kind: The permanent failure that began this round.
        since: When the pause began; calls from before it end nothing.
        round: From 1; each failed probe begins another one.
        lease: When the lease of the probe in flight expires; None without one.
    """

    kind: FailureClass
    since: datetime
    round: int = 1
    lease: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that was let through; its result is recorded with it.

    Attributes:
        lease: Of a probe; None for any other call.
    """

    began_at: datetime
    lease: datetime | None = None


def applies(target: Target) -> bool:
    """Whether the target sets members aside for permanent failures; never its only one."""
    return target.pool.switch.on_permanent and not target.single_member


def as_of(quarantine: Quarantine, now: datetime) -> Quarantine:
    """The quarantine at ``now``: a probe whose lease expired has ended neutral at that instant."""
    lease = quarantine.lease
    if lease is None or now < lease:
        return quarantine
    return replace(quarantine, since=lease, lease=None)


def probe_at(quarantine: Quarantine) -> datetime | None:
    """When the next probe is let through; None while one is in flight."""
    if quarantine.lease is not None:
        return None
    pause_s = min(FIRST_PAUSE_S * 2.0 ** min(quarantine.round - 1, 16), LONGEST_PAUSE_S)
    return quarantine.since + timedelta(seconds=pause_s)


def allows(quarantine: Quarantine, now: datetime) -> bool:
    """Whether a call may go through at ``now``; to ask takes no probe."""
    due = probe_at(as_of(quarantine, now))
    return due is not None and due <= now


def admit(quarantine: Quarantine, now: datetime, lease_s: float) -> tuple[Quarantine, Entry]:
    """Let a call through: as the probe if one is due, else as a call that nothing sets aside.

    Args:
        lease_s: After so many seconds a probe without a result counts as abandoned.
    """
    seen = as_of(quarantine, now)
    if not allows(seen, now):
        return seen, Entry(now)
    lease = now + timedelta(seconds=lease_s)
    return replace(seen, lease=lease), Entry(now, lease)


def after_result(
    before: Quarantine | None, entry: Entry, failure: FailureClass | None, now: datetime
) -> Quarantine | None:
    """The quarantine after the result of a call; None when there is none any more.

    Of the calls that are no probes, one that began in this round and is answered ends it.
    """
    permanent = failure if failure in PERMANENT else None
    if before is None:
        return None if permanent is None else Quarantine(permanent, now)
    seen = as_of(before, now)
    probe = entry.lease is not None and entry.lease == seen.lease
    if _accepted(failure):
        return None if probe or entry.began_at > seen.since else seen
    if not probe:
        return seen
    if permanent is not None:
        return Quarantine(permanent, now, seen.round + 1)
    return replace(seen, since=now, lease=None)


def is_shared(before: Quarantine | None, after: Quarantine | None) -> bool:
    """Whether the other replicas obey a change; what becomes of a probe concerns its own alone."""
    if before is None or after is None:
        return before is not after
    return before.round != after.round


def quarantine_entry(key: Key, after: Quarantine | None, at: datetime) -> SharedEntry[Quarantine]:
    """The begin, a round or the end of a quarantine, as the replicas share it; the later one wins.

    Args:
        after: None for the end.
    """
    if after is None:
        return ended(Kind.QUARANTINE, key, at)
    return SharedEntry(Kind.QUARANTINE, key, after, at, at, at + timedelta(seconds=SHARED_S))


def _accepted(failure: FailureClass | None) -> bool:
    """Whether the end of a call shows that the provider accepts credential, account and model."""
    return failure not in PERMANENT and result_of(failure) is CallResult.SUCCESS
