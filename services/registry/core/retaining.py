"""How long versions are kept: a pure function of how many there are and how old they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.registry.core.history_ports import PublishedVersion
from services.registry.core.ports import Head


@dataclass(frozen=True, slots=True)
class Keeping:
    """A version goes when it is neither among the newest ``versions`` nor younger than ``age``."""

    versions: int
    age: timedelta


def oldest_to_keep(
    head: Head, first: Sequence[PublishedVersion], keeping: Keeping, now: datetime
) -> int:
    """The first version that stays; ``first`` are the oldest ones, in order.

    Whatever clocks did, what is kept has no gaps: everything after the first one that stays does.
    """
    for version in first:
        among_newest = version.version > head.version - keeping.versions
        if among_newest or version.at > now - keeping.age:
            return version.version
    return first[-1].version + 1 if first else head.oldest_version
