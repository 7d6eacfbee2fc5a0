"""The ring stays bounded, survives its writer and is read while it is written."""

from __future__ import annotations

from pathlib import Path

from services.cli.traces.ring import SpanRing, read_ring
from services.cli.traces.spans import SpanEvent, SpanRecord, from_line, to_line
from tests.unit.cli.test_trace import A, B, link, span


def numbered(*numbers: int) -> list[SpanRecord]:
    return [span(A, number, 0, f"span {number}") for number in numbers]


def names(folder: Path) -> list[str]:
    return [each.name for each in read_ring(folder)]


def test_a_span_survives_its_line() -> None:
    attributes = {"text": "zwei\nZeilen", "number": 2, "list": ["a", 1.5], "yes": True}
    events = (SpanEvent("router.failover", 5, {"to": "m2"}),)
    links = (link(B, 12, "wake_cause"),)
    full = span(A, 1, 0, "x", attributes=attributes, links=links, events=events)
    line = to_line(full)
    assert from_line(line) == full
    assert line.count(b"\n") == 1


def test_the_ring_drops_the_oldest_and_keeps_the_newest(tmp_path: Path) -> None:
    # given a ring of 3 segments, each full after one span
    ring = SpanRing(tmp_path, segment_bytes=1, segments=3)

    # when ten spans are written
    for number in range(10):
        ring.append(numbered(number))
    kept = names(tmp_path)
    ring.close()

    # then the last three are there, in three files
    assert kept == ["span 7", "span 8", "span 9"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_new_writer_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    # given a writer that died within a line
    ring = SpanRing(tmp_path)
    ring.append(numbered(1, 2))
    ring.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-9])

    # when the next one writes
    ring = SpanRing(tmp_path)
    ring.append(numbered(3))
    ring.close()

    # then only the torn span is gone
    assert names(tmp_path) == ["span 1", "span 3"]


def test_a_foreign_file_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("mine")
    ring = SpanRing(tmp_path, segment_bytes=1, segments=2)
    for number in range(4):
        ring.append(numbered(number))
    ring.close()
    assert (tmp_path / "notes.jsonl").read_text() == "mine"
    assert names(tmp_path) == ["span 2", "span 3"]
