"""How long versions are kept: a pure function of how many there are and how old they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.registry.core.stored import Head, PublishedVersion


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Keep a version that is among the newest ``versions`` or younger than ``age``."""

    versions: int
    age: timedelta


def oldest_to_keep(
    head: Head, first: Sequence[PublishedVersion], policy: RetentionPolicy, now: datetime
) -> int:
    """The first version to keep; ``first`` are the oldest ones, in order.

    Every version after it is kept too, whatever its time says: there are no gaps.
    """
    for version in first:
        among_newest = version.version > head.version - policy.versions
        if among_newest or version.at > now - policy.age:
            return version.version
    return first[-1].version + 1 if first else head.oldest_version
