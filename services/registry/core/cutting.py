"""How much travels in one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

PART_BYTES = 64 << 10
# Most of a part's items; bounds what one read looks at.
PART_ITEMS = 1024
PAGE_BYTES = 3 << 20
MAX_PAGE_ITEMS = 1000
DEFAULT_PAGE_ITEMS = 100
# Of pages whose items show a content before and one after: each is two reads.
MAX_PAIRS = 200


class Costing(Protocol):
    """Something to be sent, and what it costs."""

    @property
    def size_bytes(self) -> int: ...


def cut(found: Sequence[Costing], limit_bytes: int, limit_items: int) -> int:
    """How many of ``found``, from the first, make up a message: at least one, if there is one."""
    taken_bytes = 0
    for count, item in enumerate(found[:limit_items]):
        taken_bytes += item.size_bytes
        if taken_bytes > limit_bytes and count:
            return count
    return min(len(found), limit_items)


def page_items(asked: int, most: int = MAX_PAGE_ITEMS) -> int:
    """The page size in force; asking for more than there may be is no error."""
    return min(asked, most) if asked > 0 else DEFAULT_PAGE_ITEMS
