"""Images as base64 and from ``data:`` URLs."""

from __future__ import annotations

import base64
import re

from services.content.model import Image

_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


def base64_of(image: Image) -> tuple[str, str] | None:
    """Media type and content of an image that is inline; None for one to fetch."""
    if not image.url:
        return image.media_type, base64.b64encode(image.data).decode()
    found = _DATA_URL.fullmatch(image.url)
    return (found[1], found[2]) if found else None
