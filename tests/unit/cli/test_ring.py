"""The ring stays bounded, survives its writer and is read while it is written."""

from __future__ import annotations

from pathlib import Path

from services.cli.ring import SpanRing, read_ring
from services.cli.spans import SpanEvent, SpanLink, SpanRecord, from_line, to_line


def span(number: int, **changes: object) -> SpanRecord:
    values: dict[str, object] = {
        "trace_id": "a" * 32,
        "span_id": f"{number:016x}",
        "parent_id": "",
        "name": f"span {number}",
        "service": "router",
        "kind": "internal",
        "start_ns": number,
        "end_ns": number + 1,
    }
    return SpanRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_a_span_survives_its_line() -> None:
    full = span(
        1,
        attributes={"text": "zwei\nZeilen", "number": 2, "list": ["a", 1.5], "yes": True},
        links=(SpanLink("b" * 32, "c" * 16, {"runyard.link.type": "wake_cause"}),),
        events=(SpanEvent("router.failover", 5, {"to": "m2"}),),
    )
    line = to_line(full)
    assert from_line(line) == full
    assert line.count(b"\n") == 1


def test_the_ring_drops_the_oldest_and_keeps_the_newest(tmp_path: Path) -> None:
    # given a ring of 3 segments, each full after one span
    ring = SpanRing(tmp_path, segment_bytes=1, segments=3)

    # when ten spans are written
    for number in range(10):
        ring.append([span(number)])
    kept = [s.name for s in read_ring(tmp_path)]
    ring.close()

    # then the last three are there, in three files
    assert kept == ["span 7", "span 8", "span 9"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_new_writer_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    # given a writer that died within a line
    ring = SpanRing(tmp_path)
    ring.append([span(1), span(2)])
    ring.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-9])

    # when the next one writes
    ring = SpanRing(tmp_path)
    ring.append([span(3)])
    ring.close()

    # then only the torn span is gone
    assert [s.name for s in read_ring(tmp_path)] == ["span 1", "span 3"]


def test_a_foreign_file_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("mine")
    ring = SpanRing(tmp_path, segment_bytes=1, segments=2)
    for number in range(4):
        ring.append([span(number)])
    ring.close()
    assert (tmp_path / "notes.jsonl").read_text() == "mine"
    assert [s.name for s in read_ring(tmp_path)] == ["span 2", "span 3"]
