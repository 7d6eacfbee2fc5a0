"""Chooses the member that a call starts on, and the next one after a failure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.router.core.decision import Skipped, Sticky
from services.router.core.home import home_candidates, ranking, round_robin_home
from services.router.core.model import HomeStrategy, Target
from services.router.core.pins import Pin, returns_home
from services.router.core.session import SessionKey

# Per member, in the pool's order: why it cannot be called, or None when it can.
Health = Sequence[Skipped | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice before the first attempt; members by index.

    Attributes:
        order: All members, best first.
        home: The home member of the session.
        start: The member to call first; None when every member is set aside.
        pinned: The session was pinned to ``start`` before.
        found_pin: The session's live pin, whether or not ``start`` follows it.
    """

    order: tuple[int, ...]
    home: int
    start: int | None
    sticky: Sticky
    pinned: bool
    found_pin: Pin | None


def select(
    target: Target,
    key: SessionKey,
    run_id: str,
    pin: Pin | None,
    health: Health,
    sequence: int,
) -> Selection:
    """Choose the member on which a call starts.

    Args:
        run_id: The call's run; empty when it has none.
        pin: The session's live pin; None when it has none.
        sequence: Number of sessions of the pool that got a home by round robin before this one.
    """
    order = ranking(target, key.routing_key)
    home = _home(target, order, pin, health, sequence)
    pinned_to = _pinned_member(target, pin)
    if pin is not None and pinned_to is not None and pinned_to != home:
        if health[home] is None and returns_home(pin, target, run_id):
            return Selection(order, home, home, Sticky.RETURNED, False, pin)
        if health[pinned_to] is None:
            return Selection(order, home, pinned_to, Sticky.PINNED, True, pin)
    start = _start_member(target, order, home, health, was_pinned=pinned_to is not None)
    return Selection(
        order, home, start, _sticky(key, start, home, pinned_to), pinned_to == start, pin
    )


def next_member(order: Sequence[int], health: Health, tried: Collection[int]) -> int | None:
    """The best healthy member that was not called yet, whatever its role."""
    for index in order:
        if health[index] is None and index not in tried:
            return index
    return None


def skipped_members(
    order: Sequence[int], home: int, health: Health, tried: Collection[int]
) -> tuple[Skipped, ...]:
    """Members that were set aside and not called: the home first, then as ranked."""
    ranked = [home, *(index for index in order if index != home)]
    found = [health[index] for index in ranked if index not in tried]
    return tuple(skip for skip in found if skip is not None)


def _sticky(key: SessionKey, start: int | None, home: int, pinned_to: int | None) -> Sticky:
    if key.anonymous:
        return Sticky.ANONYMOUS
    if start != home:
        return Sticky.MOVED
    return Sticky.HOME if pinned_to in (None, home) else Sticky.RETURNED


def _home(
    target: Target, order: Sequence[int], pin: Pin | None, health: Health, sequence: int
) -> int:
    if target.pool.home is not HomeStrategy.ROUND_ROBIN:
        return home_candidates(target.members, order)[0]
    assigned = None if pin is None else _index(target, pin.home_member_id)
    if assigned is not None:
        return assigned
    return round_robin_home(target.members, [skip is None for skip in health], sequence)


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
