"""Decodes the events of a stream, and finds the errors in them."""

from __future__ import annotations

from typing import Any

from services.router.clients.error_facts import ErrorBody, error_body_of, is_denial
from services.router.clients.http_failures import failure_in_stream
from services.router.clients.json_leaves import UNDECODABLE, decoded, object_in, text_in
from services.router.clients.sse import Event
from services.router.core.failures import Failure, FailureClass, UpstreamError

_TERMINATOR = b"[DONE]"


def is_terminator(data: bytes) -> bool:
    """Whether data says that the stream has ended, also as a JSON text."""
    return data.lstrip(b'"').startswith(_TERMINATOR)


def parts_of(event: Event) -> list[Event]:
    """The events in one: some servers leave out the blank lines between them."""
    if b"\n" not in event.data or event.name == b"error":
        return [event]
    try:
        decoded(event.data)
    except UNDECODABLE:
        return [Event(event.name, line) for line in event.data.split(b"\n")]
    return [event]


def object_of(event: Event, secrets: tuple[str, ...], *, complete: bool) -> dict[str, Any]:
    """The object of an event; empty for one to ignore.

    Args:
        complete: The answer is: now only an error changes what it means.

    Raises:
        UpstreamError: It is an error as plain text or by its number, or no event.
    """
    value: Any
    try:
        value = decoded(event.data)
    except UNDECODABLE:
        value = event.data.decode("utf-8", "replace")
    found = value if isinstance(value, dict) else object_in(value)
    if not found and event.name == b"error":
        raise_error(event.name, {"message": text_in(value)}, secrets)
    if not found and value not in (None, "", {}, []) and not complete:
        raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
    if is_denial(found):
        raise_error(b"error", found, secrets)
    return found


def raise_error(name: bytes, place: dict[str, Any], secrets: tuple[str, ...]) -> None:
    """Raise the error that a part of an event is or has, if any.

    Args:
        name: Of the event, where it says something of the part.

    Raises:
        UpstreamError: It is an error.
    """
    said = name == b"error" or place.get("type") == "error" or place.get("object") == "error"
    if not said and not place.get("error"):
        return
    body = error_body_of(place) if place else ErrorBody()
    if said:
        body.object = "error"
    failure = failure_in_stream(body, secrets)
    if failure is not None:
        raise UpstreamError(failure)
