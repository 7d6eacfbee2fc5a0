"""How much goes into one message."""

from __future__ import annotations

import pytest

from services.registry.core.paging import count_that_fits, page_items
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import SizedRef


def sized(*sizes: int) -> list[SizedRef]:
    return [SizedRef(Ref(Kind.TOOL, str(n)), size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((), 0),
        ((10,), 1),
        ((40, 60), 2),
        ((40, 61), 1),
        ((500, 1), 1),  # a resource larger than a message travels alone
        ((1, 500, 1), 1),
        ((1, 1, 1, 1), 3),
    ],
)
def test_a_message_holds_what_fits_and_at_least_one(sizes: tuple[int, ...], count: int) -> None:
    assert count_that_fits(sized(*sizes), limit_bytes=100, limit_items=3) == count


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 100), (-5, 100), (7, 7), (1000, 1000), (9999, 1000)]
)
def test_a_page_size_is_capped(asked: int, given: int) -> None:
    assert page_items(asked) == given
