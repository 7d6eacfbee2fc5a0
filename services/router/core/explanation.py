"""What a call would do: its members in the order in which they would be called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.errors import DomainError
from services.router.core.decision import RouteDecision, Skipped
from services.router.core.member_state import MemberState
from services.router.core.model import Member, Target
from services.router.core.pins import Pin
from services.router.core.request import Needs
from services.router.core.selection import Selection


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member, as a call sees it.

    Attributes:
        rank: Its place in the order in which members replace each other for the session, from 1.
        skip: Why the call cannot go there; None when it can.
    """

    member: Member
    rank: int
    state: MemberState
    skip: Skipped | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Attributes are those of ``runyard.router.v1.ExplainResponse``.

    Attributes:
        switches_left: None is unbounded.
        pin: None when the session has none.
        error: None when the first candidate would be called.
    """

    decision: RouteDecision
    candidates: Sequence[Candidate]
    needs: Needs
    switches_left: int | None
    pin: Pin | None
    error: DomainError | None


def candidates(
    target: Target, chosen: Selection, states: Sequence[MemberState]
) -> tuple[Candidate, ...]:
    """Every member once: where the call starts, then the others as ranked.

    Args:
        states: Of the members, in the pool's order.
    """
    ranks = {index: rank for rank, index in enumerate(chosen.order, start=1)}
    start = chosen.order[0] if chosen.start is None else chosen.start
    in_order = [start, *(index for index in chosen.order if index != start)]
    return tuple(
        Candidate(target.members[index], ranks[index], states[index], chosen.health[index])
        for index in in_order
    )
