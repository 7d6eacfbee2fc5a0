"""Where a session is at home, and in which order the other members stand in for its home."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from services.router.core.model import HomeStrategy, Member, Target

_PERSON = b"runyard-home"
_BITS = 52


def preference(target: Target, session: str) -> tuple[int, ...]:
    """Indices of all members, best first: a function of the pool and the session alone.

    Losing a member therefore moves only the sessions that were on it, and every replica finds the
    same order after every restart.
    """
    everyone = range(len(target.members))
    if target.pool.home is HomeStrategy.FIRST_HEALTHY or target.lone:
        return tuple(everyone)
    begun = blake2b(f"{session}\0".encode(), digest_size=8, person=_PERSON)
    scores = [_score(begun, member) for member in target.members]
    return tuple(sorted(everyone, key=lambda index: (-scores[index], index)))


def homes(members: Sequence[Member], order: Sequence[int]) -> tuple[int, ...]:
    """The members of ``order`` that can be a home; a pool has at least one."""
    return tuple(index for index in order if not members[index].failover_only)


def round_robin_home(members: Sequence[Member], available: Sequence[bool], sequence: int) -> int:
    """The home of the ``sequence``-th session: weighted slots over healthy homes, as declared.

    When no home is healthy the slots of all homes count, so that none is left out for ever.
    """
    able = homes(members, range(len(members)))
    slots = [index for index in able if available[index]] or list(able)
    slot = sequence % sum(members[index].weight for index in slots)
    for index in slots[:-1]:
        slot -= members[index].weight
        if slot < 0:
            return index
    return slots[-1]


def _score(begun: blake2b, member: Member) -> float:
    """Weighted rendezvous: the chance to score highest is proportional to the weight.

    A cryptographic hash, because ids that differ only in their last letter must still share the
    sessions by weight; simple multiplicative hashes hardly carry that letter to the upper bits.

    Args:
        begun: The hash of the session, to be continued with the member.
    """
    whole = begun.copy()
    whole.update(member.model.id.encode())
    mixed = int.from_bytes(whole.digest(), "big")
    # Half a step keeps it off 0 and 1, and 52 bits keep that half step exact.
    uniform = ((mixed >> (64 - _BITS)) + 0.5) / (1 << _BITS)
    return member.weight / -math.log(uniform)
