"""Runs that are named by the beginning of their id."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.prefixes import is_prefix, only_run
from services.cli.traces.lookup import load, run_ids
from services.cli.traces.ring import SpanRing, spans_folder
from tests.unit.cli.test_trace import A, B, span

FIRST = "01a1fcc4-e497-71fe-9d94-be4855e9776e"
SECOND = "01a1fcc4-f001-7123-8000-000000000001"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with the traces of two runs, whose ids begin alike."""
    ring = SpanRing(spans_folder(tmp_path))
    for trace_id, run_id in ((A, FIRST), (B, SECOND)):
        ring.append([span(trace_id, 1, 0, "run", attributes={"runyard.run.id": run_id})])
    ring.close()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "prefix"), [("", False), ("01a1f", False), ("01a1fc", True), (FIRST, False)]
)
def test_a_beginning_has_some_characters_and_not_all(typed: str, prefix: bool) -> None:
    assert is_prefix(typed) is prefix


def test_a_trace_is_found_by_the_beginning_of_its_run(data: Path) -> None:
    assert [trace.trace_id for trace in load("01a1fcc4-e", data)] == [A]
    assert [trace.trace_id for trace in load(SECOND, data)] == [B]


def test_a_beginning_of_several_runs_names_them_all(data: Path) -> None:
    with pytest.raises(CliError) as refused:
        load("01a1fcc4", data)
    assert refused.value.details == (FIRST, SECOND)
    assert (refused.value.reason, refused.value.exit_code) == ("AMBIGUOUS_RUN", EXIT_USAGE)


def test_the_runs_of_a_folder_are_those_that_its_spans_name(data: Path, tmp_path: Path) -> None:
    assert run_ids(data) == {FIRST, SECOND}
    assert run_ids(tmp_path / "nowhere") == set()


def test_what_is_found_nowhere_stays_as_it_was_typed() -> None:
    assert only_run("01a1fcc4-e", [SECOND]) == "01a1fcc4-e"
