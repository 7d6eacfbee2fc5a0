"""Chooses the member that a call starts on, and the next one after a failure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from services.router.core.decision import RouteDecision, Skipped, SkipReason, Sticky
from services.router.core.home import home_candidates, ranking, round_robin_home
from services.router.core.model import HomeStrategy, Member, Target
from services.router.core.pins import Pin, returns_home
from services.router.core.session import SessionKey

# A session that starts elsewhere for one of these has not moved from a failed member.
_NO_FAILURE = frozenset({SkipReason.INCAPABLE, SkipReason.CORDONED})

# Per member, in the pool's order: why it cannot be called, or None when it can.
Health = Sequence[Skipped | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice before the first attempt; members by index.

    Attributes:
        order: All members, best first.
        home: The home member of the session.
        start: The member to call first; None when every member is set aside. One that is set aside
            itself when the pool's policy keeps the session on it.
        pinned: The session was pinned to ``start`` before.
        found_pin: The session's live pin, whether or not ``start`` follows it.
        health: What the choice was made by.
        left: The member that the session leaves because it failed; None when it leaves none.
        keeps_pin: The session's own member lacks what the call needs: the call goes elsewhere and
            leaves the session where it is.
    """

    order: tuple[int, ...]
    home: int
    start: int | None
    sticky: Sticky
    pinned: bool
    found_pin: Pin | None
    health: Health
    left: int | None = None
    keeps_pin: bool = False

    @property
    def refused(self) -> bool:
        """Whether the call ends before its first attempt."""
        return self.start is None or self.health[self.start] is not None


def select(
    target: Target,
    key: SessionKey,
    run_id: str,
    pin: Pin | None,
    health: Health,
    sequence: int,
) -> Selection:
    """Choose the member on which a call starts.

    A member that lacks what the call needs is no home for it. A session that is pinned to such a
    one stays pinned there, and the call is routed as if it were not.

    Args:
        run_id: The call's run; empty when it has none.
        pin: The session's live pin; None when it has none.
        sequence: Number of sessions of the pool that got a home by round robin before this one.
    """
    order = ranking(target, key.routing_key)
    home = _home(target, order, pin, health, sequence)
    pinned_to = _pinned_member(target, pin)
    before = home if pinned_to is None else pinned_to
    may_return = before != home and health[home] is None
    if may_return and pin is not None and returns_home(pin, target, run_id):
        return Selection(order, home, home, Sticky.RETURNED, False, pin, health)
    skip = health[before]
    if skip is None or not skip.moves:
        sticky = _sticky_of_staying(target, key, before, home, pin)
        return Selection(order, home, before, sticky, pinned_to == before, pin, health)
    if skip.reason is SkipReason.INCAPABLE:
        start = _start_member(target, order, home, health, was_pinned=False)
        sticky = Sticky.ANONYMOUS if key.anonymous else Sticky.THIS_CALL_ONLY
        return Selection(order, home, start, sticky, False, pin, health, keeps_pin=True)
    start = _start_member(target, order, home, health, was_pinned=pinned_to is not None)
    sticky = _sticky_of_moving(key, start, home)
    left = None if start is None or skip.reason is SkipReason.CORDONED else before
    return Selection(order, home, start, sticky, False, pin, health, left)


def without_moving(chosen: Selection, target: Target, key: SessionKey) -> Selection:
    """The choice for a session whose budget of moves keeps it on its member, which is set aside."""
    if chosen.left is None:
        return chosen
    sticky = _sticky_of_staying(target, key, chosen.left, chosen.home, chosen.found_pin)
    pinned = sticky is Sticky.PINNED
    health = limit_reached(target, chosen.health)
    return replace(
        chosen, start=chosen.left, sticky=sticky, pinned=pinned, health=health, left=None
    )


def limit_reached(target: Target, health: Health) -> Health:
    """``health`` where a limit keeps the call from the members that nothing else keeps it from."""
    return [
        skip or Skipped(member.id, SkipReason.LIMIT_REACHED)
        for member, skip in zip(target.members, health, strict=True)
    ]


def incapable(skip: Skipped | None) -> bool:
    """Whether the member lacks what the call needs."""
    return skip is not None and skip.reason is SkipReason.INCAPABLE


def capable_members(target: Target, health: Health) -> list[Member]:
    """The members that lack nothing of what the call needs."""
    return [
        member for member, skip in zip(target.members, health, strict=True) if not incapable(skip)
    ]


def next_member(order: Sequence[int], health: Health, tried: Collection[int]) -> int | None:
    """The best healthy member that was not called yet, whatever its role."""
    for index in order:
        if health[index] is None and index not in tried:
            return index
    return None


def planned_decision(
    target: Target, registry_version: int, key: SessionKey, chosen: Selection
) -> RouteDecision:
    """The decision of a call before its first attempt."""
    pin = chosen.found_pin if chosen.sticky is Sticky.PINNED else None
    return RouteDecision(
        target_id=target.pool.id,
        pool=target.is_pool,
        pool_revision=target.revision,
        registry_version=registry_version,
        home_member_id=target.members[chosen.home].id,
        sticky=chosen.sticky,
        skipped=skipped_members(chosen.order, chosen.home, chosen.health, ()),
        session="" if key.anonymous else key.name,
        moved_at=None if pin is None else pin.moved_at,
        move_reason=None if pin is None else pin.reason,
    )


def skipped_members(
    order: Sequence[int], home: int, health: Health, tried: Collection[int]
) -> tuple[Skipped, ...]:
    """Members that were set aside and not called: the home first, then as ranked."""
    ranked = [home, *(index for index in order if index != home)]
    found = [health[index] for index in ranked if index not in tried]
    return tuple(skip for skip in found if skip is not None)


def _sticky_of_staying(
    target: Target, key: SessionKey, start: int, home: int, pin: Pin | None
) -> Sticky:
    """A session that has moved is pinned also where this call, for what it needs, has its home."""
    if start != home:
        return Sticky.PINNED
    if pin is not None and pin.member_id == target.members[start].id != pin.home_member_id:
        return Sticky.PINNED
    return Sticky.ANONYMOUS if key.anonymous else Sticky.HOME


def _sticky_of_moving(key: SessionKey, start: int | None, home: int) -> Sticky:
    if key.anonymous:
        return Sticky.ANONYMOUS
    return Sticky.RETURNED if start == home else Sticky.MOVED


def _home(
    target: Target, order: Sequence[int], pin: Pin | None, health: Health, sequence: int
) -> int:
    if target.pool.home is not HomeStrategy.ROUND_ROBIN:
        return _homes(target, order, health)[0]
    assigned = None if pin is None else _index(target, pin.home_member_id)
    if assigned is not None:
        return assigned
    homes = _homes(target, range(len(target.members)), health)
    return round_robin_home(target.members, homes, [skip is None for skip in health], sequence)


def _homes(target: Target, order: Sequence[int], health: Health) -> Sequence[int]:
    """The members of ``order`` that may be the home of a call: those that can do what it needs,
    unless there is none.
    """
    candidates = home_candidates(target.members, order)
    return [index for index in candidates if not incapable(health[index])] or candidates


def _pinned_member(target: Target, pin: Pin | None) -> int | None:
    return None if pin is None else _index(target, pin.member_id)


def _index(target: Target, member_id: str) -> int | None:
    for index, member in enumerate(target.members):
        if member.id == member_id:
            return index
    return None


def _start_member(
    target: Target, order: Sequence[int], home: int, health: Health, *, was_pinned: bool
) -> int | None:
    """Prefer a healthy home for a new session; for one that was pinned, the best healthy member."""
    if health[home] is None:
        return home
    if not was_pinned:
        candidate = next_member(home_candidates(target.members, order), health, ())
        if candidate is not None:
            return candidate
    return next_member(order, health, ())
