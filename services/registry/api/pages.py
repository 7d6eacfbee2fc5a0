"""Page tokens: where a listing goes on, opaque and bound to what was asked."""

from __future__ import annotations

import base64
import hashlib
import json

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.core.model import Kind, Ref

_FIELD = "page_token"


def page_token(query: tuple[object, ...], after: Ref | None) -> str:
    """The token of the page after ``after``; empty when there is none."""
    if after is None:
        return ""
    return _token(_digest(query), after)


def page_after(query: tuple[object, ...], token: str) -> Ref | None:
    """Where the page begins; None for the first one.

    Raises:
        InvalidRequestError: Not a token of ours, or of another query.
    """
    if not token:
        return None
    try:
        digest, kind, id_ = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        after = Ref(Kind(kind), id_)
        # The decoder skips what it does not know, and an id must be one that the store can take.
        genuine = _token(digest, after) == token and not id_violations(id_, _FIELD)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid("is not a token of this listing") from error
    if not genuine:
        raise _invalid("is not a token of this listing")
    if digest != _digest(query):
        raise _invalid("belongs to another query; start again without it")
    return after


def _token(digest: str, after: Ref) -> str:
    text = json.dumps([digest, int(after.kind), after.id])
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


def _digest(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _invalid(description: str) -> InvalidRequestError:
    return InvalidRequestError.of([Violation(_FIELD, description)])
