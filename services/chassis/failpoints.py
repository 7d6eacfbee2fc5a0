"""Named places where a test, or a drill, makes this process fail as a machine would.

    COMMITTED = failpoint("store.committed")    # once, at module level

    COMMITTED.reach()                           # where it may fail; nothing unless armed

A name is armed with what happens there: ``store.committed=kill`` ends the process on the spot,
``store.committed=error`` raises ``FailpointError``, ``store.committed=hang`` blocks the thread
until it is disarmed, which is for tests. ``error@3`` acts the third time and no other; without a
number ``error`` and ``hang`` act every time. Specs are separated by commas.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from services.chassis.errors import StoreUnavailableError
from services.chassis.startup import StartupRefusedError

_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_SPEC = re.compile(r"([^=]+)=([^@]*)(?:@([1-9]\d{0,8}))?")


class FailpointError(StoreUnavailableError):
    """An armed failpoint was reached; what it interrupts fails as if the store had."""

    def __init__(self, name: str) -> None:
        super().__init__(f"failpoint {name} was reached", failpoint=name)


class Failpoint:
    """One place; made by ``failpoint``."""

    __slots__ = ("armed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.armed: Arming | None = None

    def reach(self) -> None:
        """Fail here if armed; from any thread.

        Raises:
            FailpointError: Armed with ``error``.
        """
        if self.armed is not None:
            self.armed.reach()


class Arming:
    """What happens at one failpoint.

    Attributes:
        acted: Set as soon as the action has begun; a test awaits it.
    """

    def __init__(self, name: str, action: str, nth: int | None) -> None:
        self.name = name
        self.action = action
        self.acted = threading.Event()
        self._act = _ACTIONS[action]
        self._nth = nth
        self._reached = 0
        self._counting = threading.Lock()
        self._disarmed = threading.Event()

    @property
    def reached(self) -> int:
        """How often the place was reached, whether or not anything happened."""
        return self._reached

    def reach(self) -> None:
        with self._counting:
            self._reached += 1
            due = self._nth in {None, self._reached}
        if due:
            self.acted.set()
            self._act(self)

    def disarm(self) -> None:
        self._disarmed.set()

    def wait_disarmed(self) -> None:
        self._disarmed.wait()


def _kill(_: Arming) -> None:
    # No handler, no ``finally``, no flush: what a lost machine leaves behind.
    os.kill(os.getpid(), signal.SIGKILL)


def _error(arming: Arming) -> None:
    raise FailpointError(arming.name)


_ACTIONS: Mapping[str, Callable[[Arming], None]] = {
    "kill": _kill,
    "error": _error,
    "hang": Arming.wait_disarmed,
}
_POINTS: dict[str, Failpoint] = {}
# Armed by ``arm_ahead`` before the module that owns the name was imported.
_AHEAD: dict[str, Arming] = {}


def failpoint(name: str) -> Failpoint:
    """Register a place; ``name`` is ``area.what_has_just_happened`` and belongs to one constant.

    Raises:
        ValueError: The name is taken or has another form.
    """
    if name in _POINTS or _NAME.fullmatch(name) is None:
        raise ValueError(f"failpoint {name!r}: a name is area.moment, and used once")
    point = _POINTS[name] = Failpoint(name)
    point.armed = _AHEAD.pop(name, None)
    return point


def names(prefix: str = "") -> list[str]:
    """Every failpoint of the modules imported so far that begins with ``prefix``, sorted."""
    return sorted(name for name in _POINTS if name.startswith(prefix))


def arm(spec: str) -> Mapping[str, Arming]:
    """Arm what ``spec`` says, for the rest of this process; an empty one arms nothing.

    Raises:
        StartupRefusedError: A name or an action is unknown, or the spec has another form; nothing
            is armed then. Names the nearest known one.
    """
    arming = _parsed(spec)
    _refuse_unknown(arming)
    for name, each in arming.items():
        _POINTS[name].armed = each
    return arming


def arm_ahead(spec: str) -> None:
    """Arm also names whose modules are yet to be imported; ``check_names`` follows.

    Raises:
        StartupRefusedError: An action is unknown, or the spec has another form.
    """
    for name, each in _parsed(spec).items():
        if name in _POINTS:
            _POINTS[name].armed = each
        else:
            _AHEAD[name] = each


def check_names() -> None:
    """Refuse names given to ``arm_ahead`` that no module has registered since.

    Raises:
        StartupRefusedError: Names each with the nearest known one.
    """
    strangers = dict(_AHEAD)
    _AHEAD.clear()
    _refuse_unknown(strangers)


@contextmanager
def armed(spec: str) -> Iterator[Mapping[str, Arming]]:
    """``arm`` for the length of the block; then what was armed before is armed again."""
    before = {name: point.armed for name, point in _POINTS.items()}
    arming = arm(spec)
    try:
        yield arming
    finally:
        for name, each in arming.items():
            _POINTS[name].armed = before[name]
            each.disarm()


def _parsed(spec: str) -> dict[str, Arming]:
    arming: dict[str, Arming] = {}
    for part in filter(None, (part.strip() for part in spec.split(","))):
        found = _SPEC.fullmatch(part)
        if found is None or found[1] in arming:
            raise StartupRefusedError(
                f"failpoint {part}: write each name once, as name=action or name=action@n, "
                "separated by commas"
            )
        name, action, nth = found.groups()
        if action not in _ACTIONS:
            raise StartupRefusedError(f"failpoint {part}: {_unknown('action', action, _ACTIONS)}")
        arming[name] = Arming(name, action, None if nth is None else int(nth))
    return arming


def _refuse_unknown(arming: Iterable[str]) -> None:
    strangers = sorted(set(arming) - _POINTS.keys())
    if strangers:
        raise StartupRefusedError(
            "; ".join(_unknown("failpoint", name, _POINTS) for name in strangers)
        )


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return f"unknown {what} {name}" + "".join(f": did you mean {each}?" for each in near)
