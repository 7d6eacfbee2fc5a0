"""What a watcher is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from services.registry.core import watching
from services.registry.core.model import BuiltinAdapter, Provider
from services.registry.core.ports import Reads
from services.registry.core.stored import Head
from services.registry.core.watching import NetChange, Part, Position
from tests.support.registry_use_cases import UseCases

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
    assert watching.resume_from(HEAD, Position(after_version, incarnation), "line") == resumed


@pytest.mark.parametrize(
    ("lineage", "resumed"),
    [
        ("line", 7),
        ("", 7),  # not told
        ("another", 0),  # the number was given out twice
    ],
)
def test_a_watcher_of_another_history_begins_anew(lineage: str, resumed: int) -> None:
    assert watching.resume_from(HEAD, Position(7, "this", lineage), "line") == resumed


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
    assert watching.next_change(HEAD, has) == change


@pytest.mark.parametrize(
    ("has", "lineage", "change"),
    [
        (9, "line", None),
        (9, "another", NetChange(0, 9, "line")),  # put back and published to since
        (8, "of 8", NetChange(8, 9, "line", "of 8")),
        (4, "of 4", NetChange(0, 9, "line")),
    ],
)
def test_a_watcher_is_not_sent_on_from_another_history(
    has: int, lineage: str, change: NetChange | None
) -> None:
    assert watching.next_change(replace(HEAD, lineage="line"), has, lineage) == change


async def test_a_change_from_a_version_that_went_has_no_parts() -> None:
    # given that versions 2 and 3 are kept
    use_cases = UseCases()
    for timeout_s in (1, 2):
        await use_cases.apply(Provider("p", BuiltinAdapter(), timeout=timedelta(seconds=timeout_s)))
    await use_cases.store.write(lambda tx: tx.retire(2))

    # when
    second, third = [await use_cases.store.read(partial(_lineage, version=v)) for v in (2, 3)]
    changes = [
        NetChange(1, 3),
        NetChange(0, 1),
        NetChange(2, 3),
        NetChange(0, 3),
        NetChange(2, 3, third, second),
        NetChange(2, 3, third, "another"),
        NetChange(2, 3, "another", second),
    ]
    parts = [await use_cases.store.read(partial(_read, change=change)) for change in changes]

    # then
    assert [part is None for part in parts] == [True, True, False, False, False, True, True]


def _lineage(reads: Reads, *, version: int) -> str:
    return reads.lineage(version) or ""


def _read(reads: Reads, *, change: NetChange) -> Part | None:
    return watching.read_part(reads, change, None)
