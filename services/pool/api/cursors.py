"""Cursors and page tokens of a request; a bad one is a violation of its field."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from services.pool.api.decoding import Decoder
from services.pool.core.cursors import MARK_BYTES, BadCursorError, mark_of, sequence_of


def cursor_from_pb(cursor: bytes, pool_id: str, field: str, into: Decoder) -> int:
    """The sequence after which ``cursor`` resumes."""
    try:
        return sequence_of(cursor, pool_id)
    except BadCursorError as error:
        into.wrong(field, str(error))
        return 0


def page_token(query: Sequence[str], last_id: str) -> str:
    """Continues a listing of ``query`` after ``last_id``."""
    return base64.urlsafe_b64encode(mark_of(*query) + last_id.encode()).decode()


def page_start(token: str, query: Sequence[str], field: str, into: Decoder) -> str:
    """The id after which a listing goes on; empty for the first page."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        last_id = raw[MARK_BYTES:].decode()
    except ValueError:  # of base64 and of UTF-8
        into.wrong(field, "is not a page token of this service")
        return ""
    if raw[:MARK_BYTES] != mark_of(*query):
        into.wrong(field, "is a page token of another listing")
    return last_id
