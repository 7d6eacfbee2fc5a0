"""What a watcher is owed."""

from __future__ import annotations

import pytest

from services.registry.core.ports import Head
from services.registry.core.watching import NetChange, Position, next_change, resume_from

# Versions 5 to 9 are kept.
HEAD = Head(version=9, incarnation="this", oldest_version=5)


@pytest.mark.parametrize(
    ("after_version", "incarnation", "resumed"),
    [
        (9, "this", 9),
        (5, "this", 5),
        (4, "this", 0),  # gone
        (10, "this", 0),  # beyond the head
        (0, "this", 0),
        (-3, "this", 0),
        (7, "other", 0),
        (7, "", 0),
    ],
)
def test_a_watcher_resumes_from_what_is_kept(
    after_version: int, incarnation: str, resumed: int
) -> None:
    assert resume_from(HEAD, Position(after_version, incarnation), "line") == resumed


@pytest.mark.parametrize(
    ("lineage", "resumed"),
    [
        ("line", 7),
        ("", 7),  # not told
        ("another", 0),  # the number was given out twice
    ],
)
def test_a_watcher_of_another_history_begins_anew(lineage: str, resumed: int) -> None:
    assert resume_from(HEAD, Position(7, "this", lineage), "line") == resumed


@pytest.mark.parametrize(
    ("has", "change"),
    [
        (9, None),
        (8, NetChange(8, 9)),
        (5, NetChange(5, 9)),
        (4, NetChange(0, 9)),  # gone while it was slow
        (10, NetChange(0, 9)),  # the database was put back under it
        (0, NetChange(0, 9)),
    ],
)
def test_a_watcher_is_owed_one_net_change(has: int, change: NetChange | None) -> None:
    assert next_change(HEAD, has) == change
