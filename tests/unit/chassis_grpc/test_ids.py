"""What a legal id is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.ids import id_violations

CONTROL = "must not contain control characters"


@pytest.mark.parametrize(
    "value", ["a", "a" * 512, "a b/c%'\"", "é" * 256, "agent-🤖", "\u00a0", "\u200b"]
)
def test_nearly_every_text_is_legal(value: str) -> None:
    assert id_violations(value, "id") == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", ["must not be empty"]),
        ("a" * 513, ["is 513 bytes, at most 512 are allowed"]),
        ("é" * 257, ["is 514 bytes, at most 512 are allowed"]),
        ("a\nb", [CONTROL]),
        ("a\x7f", [CONTROL]),
        ("é\x85", [CONTROL]),
        ("a\ud800", [CONTROL]),
        ("\x00" * 513, ["is 513 bytes, at most 512 are allowed", CONTROL]),
    ],
)
def test_everything_that_is_wrong_is_said(value: str, found: list[str]) -> None:
    assert [violation.description for violation in id_violations(value, "id")] == found


@given(st.text(max_size=600))
def test_a_legal_id_has_a_size_and_nothing_that_moves_a_cursor(value: str) -> None:
    size_bytes = len(value.encode("utf-8", "surrogatepass"))
    moves = any(char < " " or "\x7f" <= char <= "\x9f" for char in value)
    halves = any("\ud800" <= char <= "\udfff" for char in value)
    legal = 1 <= size_bytes <= 512 and not moves and not halves
    assert (id_violations(value, "id") == []) is legal
