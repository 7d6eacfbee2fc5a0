"""Finds what an error of a provider says: its codes, its number and its words, wherever they are.

Servers that stand before a provider put its error within their own, also as JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from services.router.clients.json_leaves import (
    UNDECODABLE,
    decoded,
    object_in,
    objects_in,
    text_in,
)
from services.router.clients.retry_hints import duration_s

# Where a place names its number, and what has another place within it.
_NUMBERED = ("code", "status", "status_code", "statusCode", "http_status", "httpStatus")
_WITHIN = ("error", "metadata", "raw", "innererror", "inner_error", "message")
_MAX_PLACES = 16
# A denial that is no part of an answer has one of these, and none of those.
_WORDS = ("message", "title", "detail")
_OF_ANSWERS = frozenset({"choices", "delta", "content", "role"})
_LEADING = re.compile(r"\s*([45]\d\d)\b")
_IN_WORDS = re.compile(
    r"\b(?:error code|status(?: code)?|http(?:/[\d.]+)?)[\s:=]*([45]\d\d)\b", re.I
)
# What HTTP and gRPC call a number, by its letters alone.
_OF_NAME: Mapping[str, int] = {
    "unauthorized": 401,
    "unauthenticated": 401,
    "paymentrequired": 402,
    "forbidden": 403,
    "accessdenied": 403,
    "permissiondenied": 403,
    "notfound": 404,
    "toomanyrequests": 429,
    "serviceunavailable": 503,
    "unavailable": 503,
}


class ErrorBody(msgspec.Struct):
    """An error body: ``{"error": {…}}``, ``{"error": "…"}``, or the fields at the top.

    Attributes:
        place: All fields at the top.
    """

    error: Any = None
    object: Any = None
    message: Any = None
    type: Any = None
    detail: Any = None
    errors: Any = None
    place: dict[str, Any] = {}


class ErrorFacts(msgspec.Struct):
    """What an error says.

    Attributes:
        codes: In lower case.
        status: The number of HTTP that is said; None without one.
        named: The number whose name is said in its place.
    """

    codes: list[str]
    message: str
    status: int | None
    named: int | None
    retry_after_s: float | None


def error_body_of(value: Any) -> ErrorBody:
    """The error body in a decoded value of any type."""
    found = object_in(value)
    if not found:
        return ErrorBody(message=text_in(value), place={"message": text_in(value)})
    known = {name: found.get(name) for name in ErrorBody.__struct_fields__ if name != "place"}
    return ErrorBody(**known, place=found)


def is_denial(place: dict[str, Any]) -> bool:
    """Whether an object that has no ``error`` is one: it has a number of HTTP and words."""
    if not _OF_ANSWERS.isdisjoint(place) or not any(text_in(place.get(name)) for name in _WORDS):
        return False
    return any(_status(place.get(name)) for name in _NUMBERED)


def error_facts(body: ErrorBody) -> ErrorFacts:
    """What an error says; what is further out goes before what is within."""
    error = _object(body.error)
    within = list(_places(error or body.place))
    places = [*within, body.place] if error else within
    details = [each for place in places for each in objects_in(place.get("details")) if each]
    values = [place.get(name) for place in places for name in ("code", "type", "status")]
    values += [each.get(name) for each in details for name in ("error_code", "reason")]
    codes = [text_in(each).lower() for each in values]
    codes = [each for each in codes if each]
    hints = filter(None, (duration_s(each.get("retryDelay")) for each in details))
    said = list(dict.fromkeys(_said(body.error, within)))
    others = filter(None, (text_in(body.message), *_framework_words(body)))
    message = "; ".join(said) or next(others, "")
    numbers = (_status(place.get(name)) for place in places for name in _NUMBERED)
    texts = [*codes, *said, message]
    status = next(filter(None, (*numbers, *map(status_in, texts))), None)
    named = next(filter(None, map(_named_in, texts)), None)
    return ErrorFacts(codes, message, status, named, next(hints, None))


def status_in(text: str) -> int | None:
    """The number of HTTP in the words of an error, at their begin or where they say what it is."""
    found = _LEADING.match(text) or _IN_WORDS.search(text)
    return int(found[1]) if found else None


def _places(value: Any) -> Iterator[dict[str, Any]]:
    """An object and those within it, from the outside in."""
    waiting = [_object(value)]
    for _ in range(_MAX_PLACES):
        if not waiting:
            return
        place = waiting.pop(0)
        if place:
            yield place
            waiting += [_object(place.get(name)) for name in _WITHIN if place.get(name)]


def _object(value: Any) -> dict[str, Any]:
    """An object, also as JSON text; empty for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            value = decoded(value.encode("utf-8", "replace"))
        except UNDECODABLE:
            return {}
    return object_in(value)


def _said(error: Any, within: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The words of an error and of those within it, without those that are JSON."""
    for each in [error, *(place.get(name) for place in within for name in ("message", "raw"))]:
        words = text_in(each)
        if words and not (words is each and _object(each)):
            yield words


def _framework_words(body: ErrorBody) -> Iterator[str]:
    """What frameworks say in place of ``error``: ``detail`` or ``errors``."""
    for part in (body.detail, body.errors):
        for each in objects_in(part):
            yield text_in(each.get("msg") or each.get("message") or each.get("text"))


def _status(code: object) -> int | None:
    """A number of HTTP that says that something is wrong, in any form of it."""
    if isinstance(code, str):
        found = _LEADING.match(code) if len(code) <= 8 else None
        return int(found[1]) if found else None
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    return code if type(code) is int and 400 <= code <= 599 else None


def _named_in(text: str) -> int | None:
    """The number whose name is the whole text."""
    return _OF_NAME.get("".join(filter(str.isalpha, text[:40].lower())))
