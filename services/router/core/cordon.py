"""Cordons: members that get no new sessions, so that they can be taken out of service.

A pinned session stays on a cordoned member. Every other one goes to the next member, also one whose
home is the cordoned member; nothing fails over to it.
"""

from __future__ import annotations

from datetime import datetime

from services.router.core.decision import Skipped, SkipReason
from services.router.core.model import Member, Target
from services.router.core.shared_entry import Entry, Key, Kind, ended


def cordon_key(target: Target, member: Member) -> Key:
    return target.pool.id, member.id


def cordon_entry(target: Target, member: Member, at: datetime, *, cordoned: bool) -> Entry[bool]:
    """The begin or the end of a cordon, as the replicas share it; the later one wins."""
    key = cordon_key(target, member)
    return Entry(Kind.CORDON, key, True, at, at, None) if cordoned else ended(Kind.CORDON, key, at)


def is_cordoned(target: Target, entry: Entry[bool] | None) -> bool:
    """Whether the cordon is in force; the only member of a target cannot be replaced."""
    return entry is not None and entry.value is not None and not target.single_member


def with_cordon(member: Member, skip: Skipped | None) -> Skipped:
    """Why a cordoned member gets no new session: what keeps it from every call comes first."""
    if skip is not None and skip.moves:
        return skip
    return Skipped(member.id, SkipReason.CORDONED)
