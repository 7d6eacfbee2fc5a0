"""Images as base64 and from ``data:`` URLs, and where providers take them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from services.content.model import Image, Message, Role
from services.router.core.failures import Failure, FailureClass, UpstreamError

_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


def base64_of(image: Image) -> tuple[str, str] | None:
    """Media type and content of an image that is inline; None for one to fetch."""
    if not image.url:
        return image.media_type, base64.b64encode(image.data).decode()
    found = _DATA_URL.fullmatch(image.url)
    return (found[1], found[2]) if found else None


def refuse_misplaced_images(messages: Iterable[Message]) -> None:
    """Raises:
    UpstreamError: INVALID_REQUEST for an image outside the messages of users; it names the field.
    """
    for index, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, Image) and message.role is not Role.USER:
                field = f"messages[{index}].parts[{place}].image"
                detail = f"{field}: this provider takes none in a message of role"
                detail = f"{detail} {message.role.value}"
                raise UpstreamError(Failure(FailureClass.INVALID_REQUEST, detail=detail))
