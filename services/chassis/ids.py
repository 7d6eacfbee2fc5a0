"""Ids: what a legal one is, and where new ones come from; and what a text may not hold."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from services.chassis.clock import Clock
from services.chassis.errors import Violation

MAX_ID_BYTES = 512

# Control characters, and halves of surrogate pairs, which no encoding has.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class IdSource(Protocol):
    def new_id(self) -> str:
        """A new id, unique across processes."""


class Uuid7Source:
    """UUIDv7: sorts by time of creation to the millisecond, random within it."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy

    def new_id(self) -> str:
        millis = int(self._clock.now().timestamp() * 1000)
        rand = int.from_bytes(self._entropy(10), "big")
        high = (millis << 16) | (0x7 << 12) | (rand >> 68)
        low = (0b10 << 62) | (rand & ((1 << 62) - 1))
        return str(UUID(int=(high << 64) | low))


def is_id(value: str) -> bool:
    """Whether ``value`` is a legal id."""
    if not 0 < len(value) <= MAX_ID_BYTES:
        return False
    # Nearly every id is ASCII, and for that these two take less time than a regular expression.
    if value.isascii():
        return value.isprintable()
    return _CONTROL.search(value) is None and len(value.encode()) <= MAX_ID_BYTES


def id_violations(value: str, field: str) -> list[Violation]:
    """Why ``value`` is not a legal id: 1 to 512 bytes of UTF-8, no control characters."""
    if is_id(value):
        return []
    size_bytes = len(value.encode("utf-8", "surrogatepass"))
    if size_bytes == 0:
        return [Violation(field, "must not be empty")]
    found = []
    if size_bytes > MAX_ID_BYTES:
        found.append(Violation(field, f"is {size_bytes} bytes, at most {MAX_ID_BYTES} are allowed"))
    # Of one that is too long no more than that is read.
    if _CONTROL.search(value, 0, MAX_ID_BYTES):
        found.append(Violation(field, "must not contain control characters"))
    return found


def text_violations(value: str, field: str) -> list[Violation]:
    """Why a database cannot store ``value`` as text; ``value`` has a legal size."""
    if _UNSTORABLE.search(value) is None:
        return []
    return [Violation(field, "must not contain NUL")]
