"""How much one message carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

PART_BYTES = 64 << 10
# Most of a part's items; bounds what one read looks at.
PART_ITEMS = 1024
PAGE_BYTES = 3 << 20
MAX_PAGE_ITEMS = 1000
DEFAULT_PAGE_ITEMS = 100
# For pages whose items have a content before and one after, which are two reads each.
MAX_PAIRS = 200


class Sized(Protocol):
    """Something to be sent that knows its size."""

    @property
    def size_bytes(self) -> int: ...


def count_that_fits(items: Sequence[Sized], limit_bytes: int, limit_items: int) -> int:
    """How many of ``items``, from the first, one message takes: at least one, if there is one."""
    taken_bytes = 0
    for count, item in enumerate(items[:limit_items]):
        taken_bytes += item.size_bytes
        if taken_bytes > limit_bytes and count:
            return count
    return min(len(items), limit_items)


def page_items(asked: int, most: int = MAX_PAGE_ITEMS) -> int:
    """The page size to use: ``asked``, capped at ``most``; the default for 0."""
    return min(asked, most) if asked > 0 else DEFAULT_PAGE_ITEMS
