"""Cursors: a place in one stream, opaque to clients and useless in another stream."""

from __future__ import annotations

import hashlib

from services.chassis.protobuf.decoder import Decoder

_VERSION = b"\x01"
_MARK_BYTES = 4
_SEQUENCE_BYTES = 8
_LENGTH = len(_VERSION) + _MARK_BYTES + _SEQUENCE_BYTES
_MAX_SEQUENCE = (1 << 63) - 1
# More than any cursor has had or will have.
MAX_CURSOR_BYTES = 64


class Cursors:
    """Cursors of one kind of stream.

    Args:
        kind: What a stream belongs to, ``run`` or ``pool``; part of what a refusal says.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def encode(self, stream_id: str, sequence: int) -> bytes:
        """Resumes after ``sequence``."""
        return _VERSION + _mark(stream_id) + sequence.to_bytes(_SEQUENCE_BYTES, "big")

    def decode(self, cursor: bytes, stream_id: str, field: str, decoder: Decoder) -> int:
        """The sequence after which ``cursor`` resumes; 0 with a violation for a bad one."""
        if len(cursor) != _LENGTH or not cursor.startswith(_VERSION):
            decoder.wrong(field, f"is not a cursor of a {self._kind}")
            return 0
        if cursor[len(_VERSION) : -_SEQUENCE_BYTES] != _mark(stream_id):
            decoder.wrong(field, f"is a cursor of another {self._kind}")
            return 0
        sequence = int.from_bytes(cursor[-_SEQUENCE_BYTES:], "big")
        if sequence > _MAX_SEQUENCE:
            decoder.wrong(field, f"is not a cursor of a {self._kind}")
            return 0
        return sequence


def _mark(stream_id: str) -> bytes:
    """A short digest that tells one stream from another by accident, not against an attacker."""
    return hashlib.sha256(stream_id.encode()).digest()[:_MARK_BYTES]
