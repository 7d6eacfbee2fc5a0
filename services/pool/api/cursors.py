"""Cursors and page tokens: places in one log or listing, opaque and useless in another."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

from services.pool.api.decoding import Decoder

_VERSION = b"\x01"
_MARK_BYTES = 4
_SEQUENCE_BYTES = 8
_LENGTH = len(_VERSION) + _MARK_BYTES + _SEQUENCE_BYTES


def cursor_of(pool_id: str, sequence: int) -> bytes:
    """Resumes after the record ``sequence``."""
    return _VERSION + _mark(pool_id) + sequence.to_bytes(_SEQUENCE_BYTES, "big")


def sequence_of(cursor: bytes, pool_id: str, field: str, into: Decoder) -> int:
    """The sequence after which ``cursor`` resumes; an empty one is the beginning."""
    if not cursor:
        return 0
    if len(cursor) != _LENGTH or cursor[:1] != _VERSION:
        into.wrong(field, "is not a cursor of this service")
        return 0
    if cursor[1 : 1 + _MARK_BYTES] != _mark(pool_id):
        into.wrong(field, "is a cursor of another pool")
        return 0
    return int.from_bytes(cursor[-_SEQUENCE_BYTES:], "big")


def page_token(query: Sequence[str], last_id: str) -> str:
    """Continues a listing of ``query`` after ``last_id``."""
    return base64.urlsafe_b64encode(_mark(*query) + last_id.encode()).decode()


def page_start(token: str, query: Sequence[str], field: str, into: Decoder) -> str:
    """The id after which a listing goes on; empty for the first page."""
    if not token:
        return ""
    try:
        raw = base64.urlsafe_b64decode(token)
        last_id = raw[_MARK_BYTES:].decode()
    except (binascii.Error, UnicodeError, ValueError):
        into.wrong(field, "is not a page token of this service")
        return ""
    if raw[:_MARK_BYTES] != _mark(*query):
        into.wrong(field, "is a page token of another listing")
    return last_id


def _mark(*scope: str) -> bytes:
    # Ids hold no control characters.
    return hashlib.sha256("\x1f".join(scope).encode()).digest()[:_MARK_BYTES]
