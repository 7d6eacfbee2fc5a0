"""Which member a call starts on, and which one comes next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.router.core.decision import Skipped, Sticky
from services.router.core.home import homes, preference, round_robin_home
from services.router.core.model import HomeStrategy, Target
from services.router.core.pins import Pin, returns_home
from services.router.core.session import SessionKey

# Per member, in the pool's order: why it cannot be called, or None when it can.
Health = Sequence[Skipped | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Where a call stands before its first attempt.

    Attributes:
        order: All members, best first, by index.
        home: Where the session is at home.
        start: The member to call first; None when every member is set aside.
        pinned: The session was held on ``start`` before.
        follows: The pin that was found, whether or not it was followed.
    """

    order: tuple[int, ...]
    home: int
    start: int | None
    sticky: Sticky
    pinned: bool
    follows: Pin | None


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
        pin: The session's live pin, if it has one.
        sequence: How many sessions of the pool were given a home in turn before this one.
    """
    order = preference(target, key.routing_key)
    home = _home(target, order, pin, health, sequence)
    held = _held(target, pin)
    if pin is not None and held is not None and held != home:
        if health[home] is None and returns_home(pin, target, run_id):
            return Selection(order, home, home, Sticky.RETURNED, False, pin)
        if health[held] is None:
            return Selection(order, home, held, Sticky.PINNED, True, pin)
    start = _first(target, order, home, health, moved=held is not None)
    return Selection(order, home, start, _sticky(key, start, home, held), held == start, pin)


def next_member(order: Sequence[int], health: Health, visited: Collection[int]) -> int | None:
    """The best member that is healthy and was not called yet; home or stand-in alike."""
    for index in order:
        if health[index] is None and index not in visited:
            return index
    return None


def set_aside(
    order: Sequence[int], home: int, health: Health, visited: Collection[int]
) -> tuple[Skipped, ...]:
    """Members that were set aside and not called: the home first, then in order of preference."""
    ranked = [home, *(index for index in order if index != home)]
    found = [health[index] for index in ranked if index not in visited]
    return tuple(skip for skip in found if skip is not None)


def _sticky(key: SessionKey, start: int | None, home: int, held: int | None) -> Sticky:
    if key.anonymous:
        return Sticky.ANONYMOUS
    if start != home:
        return Sticky.MOVED
    return Sticky.HOME if held in (None, home) else Sticky.RETURNED


def _home(
    target: Target, order: Sequence[int], pin: Pin | None, health: Health, sequence: int
) -> int:
    if target.pool.home is not HomeStrategy.ROUND_ROBIN:
        return homes(target.members, order)[0]
    given = None if pin is None else _index(target, pin.home_member_id)
    if given is not None:
        return given
    return round_robin_home(target.members, [skip is None for skip in health], sequence)


def _held(target: Target, pin: Pin | None) -> int | None:
    return None if pin is None else _index(target, pin.member_id)


def _index(target: Target, member_id: str) -> int | None:
    for index, member in enumerate(target.members):
        if member.id == member_id:
            return index
    return None


def _first(
    target: Target, order: Sequence[int], home: int, health: Health, *, moved: bool
) -> int | None:
    """A session that begins takes the best healthy home before any stand-in; one that has to move
    takes the best healthy member, whatever its role.
    """
    if health[home] is None:
        return home
    if not moved:
        standing = next_member(homes(target.members, order), health, ())
        if standing is not None:
            return standing
    return next_member(order, health, ())
