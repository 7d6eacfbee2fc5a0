"""Page tokens: where a listing goes on, opaque and bound to what was asked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from services.chassis.protobuf.decoder import Decoder

T = TypeVar("T")

FIELD = "page_token"
# A position has an id, of which JSON and base64 make four times as much.
MAX_TOKEN_BYTES = 4096


def page_token(request: Message, position: Sequence[int | str] | None) -> str:
    """The token of the page after ``position``; empty when there is none.

    It is bound to every field of ``request`` but those that say which page.
    """
    return "" if position is None else _token(_digest(request), position)


def page_position(request: Message, read: Callable[..., T], decoder: Decoder) -> T | None:
    """What ``read`` makes of the position in the ``page_token`` of ``request``.

    None for an empty token, and with a violation for one that ``page_token`` did not make or that
    belongs to another query.

    Args:
        read: Raises ValueError or TypeError for a position that cannot be.
    """
    token: str = getattr(request, FIELD)
    if not token:
        return None
    try:
        digest, *position = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        found = read(*position)
        # The decoder skips what it does not know.
        genuine = _token(digest, position) == token
    except (ValueError, TypeError, AttributeError, RecursionError):
        genuine = False
    if not genuine:
        decoder.wrong(FIELD, "is not a token of this listing")
        return None
    if digest != _digest(request):
        decoder.wrong(FIELD, "belongs to another query; start again without it")
        return None
    return found


def _token(digest: str, position: Sequence[int | str]) -> str:
    text = json.dumps([digest, *position])
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


def _digest(request: Message) -> str:
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField(FIELD)
    query.ClearField("page_size")
    body = query.SerializeToString(deterministic=True)
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + body).hexdigest()[:16]
