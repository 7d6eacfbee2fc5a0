"""Page tokens: where a listing goes on, opaque and bound to what was asked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.core.model import Kind, Ref

T = TypeVar("T")

_FIELD = "page_token"
_LARGEST = (1 << 63) - 1


def page_token(query: tuple[object, ...], after: Ref | None) -> str:
    """The token of the page after ``after``; empty when there is none."""
    return sealed(query, (int(after.kind), after.id) if after else None)


def page_after(query: tuple[object, ...], token: str) -> Ref | None:
    """Where the page begins; None for the first one.

    Raises:
        InvalidRequestError: Not a token of ours, or of another query.
    """
    return opened(query, token, page_ref)


def sealed(query: tuple[object, ...], position: Sequence[int | str] | None) -> str:
    """The token of the page after ``position``; empty when there is none."""
    return "" if position is None else _token(_digest(query), position)


def opened(query: tuple[object, ...], token: str, read: Callable[..., T]) -> T | None:
    """What ``read`` makes of the position in ``token``; None for an empty one.

    Args:
        read: Raises ValueError or TypeError for a position that cannot be.

    Raises:
        InvalidRequestError: Not a token of ours, or of another query.
    """
    if not token:
        return None
    try:
        digest, *position = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        found = read(*position)
        # The decoder skips what it does not know.
        genuine = _token(digest, position) == token
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid("is not a token of this listing") from error
    if not genuine:
        raise _invalid("is not a token of this listing")
    if digest != _digest(query):
        raise _invalid("belongs to another query; start again without it")
    return found


def page_version(number: object) -> int:
    """A version in a token."""
    if type(number) is not int or not 1 <= number <= _LARGEST:
        raise ValueError(f"not a version: {number!r}")
    return number


def page_ref(kind: int, id_: str) -> Ref:
    """A resource in a token; its id must be one that the store can take."""
    if type(kind) is not int or id_violations(id_, _FIELD):
        raise ValueError(f"not a resource: {kind!r}")
    return Ref(Kind(kind), id_)


def _token(digest: str, position: Sequence[int | str]) -> str:
    text = json.dumps([digest, *position])
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


def _digest(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _invalid(description: str) -> InvalidRequestError:
    return InvalidRequestError.of([Violation(_FIELD, description)])
