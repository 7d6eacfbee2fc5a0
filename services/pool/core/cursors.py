"""Cursors: a place in one pool's log, opaque to clients and useless in another pool."""

from __future__ import annotations

import hashlib

_VERSION = b"\x01"
MARK_BYTES = 4
_SEQUENCE_BYTES = 8
_LENGTH = len(_VERSION) + MARK_BYTES + _SEQUENCE_BYTES


class BadCursorError(ValueError):
    """What was given is no cursor of this pool; the text says why."""


def cursor_of(pool_id: str, sequence: int) -> bytes:
    """Resumes after the record ``sequence``."""
    return _VERSION + mark_of(pool_id) + sequence.to_bytes(_SEQUENCE_BYTES, "big")


def sequence_of(cursor: bytes, pool_id: str) -> int:
    """The sequence after which ``cursor`` resumes.

    Raises:
        BadCursorError: It was not made by ``cursor_of`` for this pool.
    """
    if len(cursor) != _LENGTH or cursor[:1] != _VERSION:
        raise BadCursorError("is not a cursor of this service")
    if cursor[1 : 1 + MARK_BYTES] != mark_of(pool_id):
        raise BadCursorError("is a cursor of another pool")
    return int.from_bytes(cursor[-_SEQUENCE_BYTES:], "big")


def mark_of(*scope: str) -> bytes:
    """A short digest that tells one scope from another by accident, not against an attacker."""
    # Ids hold no control characters.
    return hashlib.sha256("\x1f".join(scope).encode()).digest()[:MARK_BYTES]
