"""Cursors of streams and tokens of pages: opaque to clients, bound to what they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from datetime import UTC, datetime, timedelta

from services.chassis.errors import Violation

_VERSION = b"r1"
_DIGEST_BYTES = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_cursor(run_id: str, seq: int) -> bytes:
    """Behind the event ``seq`` of a run."""
    return _VERSION + _digest(run_id.encode()) + struct.pack(">Q", seq)


def decode_cursor(cursor: bytes, run_id: str, found: list[Violation]) -> int:
    """The sequence; 0 with a violation for a cursor that is not one of this run's."""
    prefix = _VERSION + _digest(run_id.encode())
    if len(cursor) != len(prefix) + 8 or not cursor.startswith(prefix):
        found.append(Violation("after", "is not a cursor of this run"))
        return 0
    (seq,) = struct.unpack(">Q", cursor[len(prefix) :])
    return int(seq)


def encode_page_token(instant: datetime, name: str, query: bytes) -> str:
    """Behind the entry ``name`` of ``instant``, for this query only."""
    micros = (instant - _EPOCH) // timedelta(microseconds=1)
    body = _digest(query) + struct.pack(">q", micros) + name.encode()
    return base64.urlsafe_b64encode(body).decode()


def decode_page_token(
    token: str, query: bytes, found: list[Violation]
) -> tuple[datetime, str] | None:
    """Where the page begins; None for the first page, or with a violation."""
    if not token:
        return None
    try:
        body = base64.b64decode(token, altchars=b"-_", validate=True)
        digest, rest = body[:_DIGEST_BYTES], body[_DIGEST_BYTES:]
        (micros,) = struct.unpack(">q", rest[:8])
        name = rest[8:].decode()
        instant = _EPOCH + timedelta(microseconds=micros)
    except (binascii.Error, struct.error, ValueError, OverflowError):
        digest, name, instant = b"", "", _EPOCH
    if digest != _digest(query):
        found.append(Violation("page_token", "is not a token of this query"))
        return None
    return instant, name


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[:_DIGEST_BYTES]
