"""Chooses the home member of a session, and the order in which the others replace it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from services.router.core.model import HomeStrategy, Member, Target

_PERSON = b"runyard-home"
_BITS = 52


def ranking(target: Target, session: str) -> tuple[int, ...]:
    """Rank all members, best first, by index; a function of the pool and the session alone.

    Removing a member therefore moves only the sessions that were on it, and every replica computes
    the same ranking after every restart.
    """
    indices = range(len(target.members))
    if target.pool.home is HomeStrategy.FIRST_HEALTHY or target.single_member:
        return tuple(indices)
    session_hash = blake2b(f"{session}\0".encode(), digest_size=8, person=_PERSON)
    scores = [_score(session_hash, member) for member in target.members]
    return tuple(sorted(indices, key=lambda index: (-scores[index], index)))


def home_candidates(members: Sequence[Member], order: Sequence[int]) -> tuple[int, ...]:
    """The members of ``order`` that may be a home; a pool has at least one."""
    return tuple(index for index in order if not members[index].failover_only)


def round_robin_home(
    members: Sequence[Member], homes: Sequence[int], available: Sequence[bool], sequence: int
) -> int:
    """Choose the home of the ``sequence``-th session: weighted slots over the healthy ``homes``.

    When none is healthy, the slots of all of them count.
    """
    slots = [index for index in homes if available[index]] or list(homes)
    slot = sequence % sum(members[index].weight for index in slots)
    for index in slots[:-1]:
        slot -= members[index].weight
        if slot < 0:
            return index
    return slots[-1]


def _score(session_hash: blake2b, member: Member) -> float:
    """Score a member by weighted rendezvous: the highest score is as likely as the weight says.

    The hash is cryptographic, because ids that differ only in their last letter must share the
    sessions by weight too; in multiplicative hashes that letter hardly reaches the upper bits.

    Args:
        session_hash: The hash of the session, which a copy continues with the member.
    """
    digest = session_hash.copy()
    digest.update(member.model.id.encode())
    mixed = int.from_bytes(digest.digest(), "big")
    # Half a step keeps it off 0 and 1, and 52 bits keep that half step exact.
    uniform = ((mixed >> (64 - _BITS)) + 0.5) / (1 << _BITS)
    return member.weight / -math.log(uniform)
