"""Joins what several reads of an answer brought, so that where they ended does not show."""

from __future__ import annotations

from collections.abc import Iterable

from services.router.core.items import TextDelta, UpstreamItem, add_text


def join(read: Iterable[UpstreamItem], items: list[UpstreamItem]) -> None:
    """Append the items of a read as if those before came with it."""
    for item in read:
        if isinstance(item, TextDelta):
            add_text(item.text, items)
        else:
            items.append(item)
