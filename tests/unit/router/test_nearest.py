"""Which ids are like one that does not exist."""

from __future__ import annotations

import pytest

from services.router.core.nearest import nearest

KNOWN = ["gpt-4o", "gpt-4o-mini", "gpt-5", "claude-sonnet", "narration", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("gtp-4o", ["gpt-4o"]),
        ("GPT-4O", ["gpt-4o", "gpt-5", "gpt-4o-mini"]),
        ("naration", ["narration"]),
        ("m1", ["m1"]),
        ("zzz", []),
        ("", []),
    ],
)
def test_the_likest_come_first_and_what_is_not_alike_not_at_all(
    wanted: str, found: list[str]
) -> None:
    assert nearest(wanted, KNOWN) == found


def test_of_many_ids_those_of_a_similar_length_are_compared() -> None:
    # given 20,000 ids, one of which differs in a character from what is wanted
    known = [f"{'x' * 40}-{number}" for number in range(20_000)]

    assert nearest("naration", [*known, "narration"]) == ["narration"]
