"""Lines on a terminal: broken between words, behind their gutter, without what could act on it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.base.exits import CliError
from services.cli.base.layout import laid_out, one_line
from services.cli.base.terminal import Terminal
from services.cli.local.console import EventPrinter
from services.cli.local.supervisor import ChildEvent
from services.cli.runs.view import RunView
from services.cli.traces.tree import find_traces
from services.cli.traces.view import render
from tests.unit.cli.test_changes import screen
from tests.unit.cli.test_trace import FAILOVER, WAKE, A

ID = "01a1fcc4-e497-71fe-9d94-be4855e9776e-01a1fcc4-e497-71fe-9d94-be4855e9776e-01a1fcc4-e497"
PROSE = "The harbour wakes before the town does and a crane turns once as if it remembered how " * 2
WORDS = st.lists(st.text("abc🚀", min_size=1, max_size=30), min_size=1, max_size=20)


def terminal(width: int = 80) -> tuple[Terminal, io.StringIO]:
    return screen(width=width, force_terminal=True, color_system=None)


@given(WORDS, st.integers(1, 100), st.text("│ ", max_size=6))
def test_a_line_is_broken_between_words_and_keeps_its_gutter(
    words: list[str], width: int, gutter: str
) -> None:
    # when
    lead = Text(gutter)
    lines = laid_out(Text(" ".join(words)), width, lead, lead).plain.split("\n")

    # then every word is whole and in its place, behind the gutter of its line
    assert all(line.startswith(gutter) for line in lines)
    bodies = [line.removeprefix(gutter) for line in lines]
    assert " ".join(bodies).split() == words
    # and a line is too long only where one word is
    room = max(20, width - len(gutter))
    assert all(cell_len(body) <= room or " " not in body for body in bodies)


@given(WORDS, st.integers(1, 60), st.data())
def test_words_that_come_bit_by_bit_are_broken_in_the_same_places(
    words: list[str], width: int, data: st.DataObject
) -> None:
    # given a text, cut anywhere
    text = " ".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    # when it comes in one piece and in many
    shown = []
    for come in ([text], pieces):
        on, file = terminal(width)
        for piece in come:
            on.stream_text(piece, "» ")
        on.end_stream()
        shown.append(file.getvalue())

    # then nobody can tell, and every word is whole
    assert shown[0] == shown[1]
    assert shown[0].split() == ["»", *words]


def test_a_word_is_held_back_until_it_is_whole_and_no_longer() -> None:
    on, file = terminal()
    on.stream_text("The har", "» ")
    assert file.getvalue() == "» The"
    on.stream_text("bour")
    on.end_stream()
    assert file.getvalue() == "» The harbour\n"


def test_where_a_program_reads_nothing_is_broken_or_held_back() -> None:
    on, file = screen(width=20)
    on.line(PROSE.strip(), ID)
    on.stream_text(f"{PROSE}har", "» ")
    assert file.getvalue() == f"{PROSE.strip()}{ID}\n» {PROSE}har"


def test_logs_of_servers_keep_their_gutter() -> None:
    on, file = terminal()
    EventPrinter(on)(ChildEvent.LOG, "pool", f"{PROSE}{ID}")
    lines = file.getvalue().splitlines()
    assert len(lines) == 4
    assert all(line.startswith("pool       │ ") for line in lines)
    assert lines[-1] == f"pool       │ {ID}"


def test_ids_in_a_table_are_whole_and_what_is_prose_goes_on_below() -> None:
    # given a terminal that is too narrow for the ids alone
    on, file = terminal(60)
    on.table(("ID", "WHAT", "SET"), [(ID, PROSE.strip(), "team")], wrapping="WHAT")

    # then
    head, first, *more = file.getvalue().splitlines()
    assert head.split() == ["ID", "WHAT", "SET"]
    assert first.startswith(f"{ID}  The harbour wakes")
    assert first.endswith("  team")
    told = [first.removeprefix(ID).removesuffix("team"), *more]
    assert " ".join(" ".join(told).split()) == PROSE.strip()
    assert all(line.startswith(" " * (len(ID) + 2)) for line in more)


def test_a_trace_keeps_its_tree_on_a_narrow_terminal() -> None:
    # given a failover whose spans have longer names than there is room for
    spans = [replace(span, name=f"{span.name} of the quiet harbour") for span in FAILOVER]

    # when
    shown = [text.plain for text in render(find_traces(spans, "run-1"), 60)]

    # then name and facts stand below each other, and every branch is drawn through
    assert "\n".join(shown).splitlines()[2:] == [
        "run of the quiet harbour       runcontrol +    0 µs  19.0 ms",
        "└─ Infer of the quiet harbour  router     +  1.0 ms  18.0 ms",
        "   ├─ chat home of the quiet harbour [1]",
        "   │     router     +  2.0 ms   1.0 ms  ✗ RATE_LIMIT",
        "   └─ chat backup of the quiet harbour",
        "         router     +  3.0 ms  16.0 ms",
        "         ↖ failover_from: [1] chat home of the quiet",
        "           harbour (router)",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_line_of_a_trace_is_wider_than_the_terminal(columns: int) -> None:
    spans = [replace(span, name=f"{span.name} of the quiet harbour") for span in [*FAILOVER, *WAKE]]
    lines = "\n".join(t.plain for t in render(find_traces(spans, "run-2"), columns)).splitlines()
    # but for the ids of traces, which stay whole
    assert [line for line in lines if cell_len(line) > columns and A[:9] not in line] == []


EVIL = "x\n\x1b[31m\r\x07y"


def fill(message: Message, depth: int = 0) -> None:
    """Set every text in it."""
    for field in message.DESCRIPTOR.fields:
        value: Any = getattr(message, field.name)
        of = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            value.append(EVIL)
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, EVIL)
        elif of and of.file.package.startswith("runyard.") and depth < 3:
            fill(value.add() if field.is_repeated else value, depth + 1)


KINDS = [field.name for field in pb.Event.DESCRIPTOR.oneofs_by_name["kind"].fields]


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_any_event_acts_on_the_terminal(kind: str) -> None:
    # given an event with control characters in every text
    event = pb.Event(run_id=EVIL)
    getattr(event, kind).SetInParent()
    fill(getattr(event, kind))
    on, file = terminal()

    # when it is shown
    RunView(on, label="run").show(event)
    on.end_stream()

    # then only what a model says has lines of its own, behind the gutter like every other
    lines = file.getvalue().splitlines()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", file.getvalue())
    assert all(line.startswith(("run ", "      ")) for line in lines)
    if kind not in {"text_delta", "reasoning_delta"}:
        assert [line for line in lines if line.strip().startswith("�")] == []


def test_an_error_cannot_act_on_the_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().fail(CliError(EVIL, hint=EVIL, details=(EVIL,)))
    Terminal().note(EVIL)
    shown = one_line(EVIL)
    assert capsys.readouterr().err == (
        f"error: {shown}  [FAILED]\n  {shown}\nnext:  {shown}\n{shown}\n"
    )


def test_without_colours_there_is_no_bold_either(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a terminal that can do both
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    def written() -> str:
        file = Screen()
        monkeypatch.setattr("sys.stdout", file)
        monkeypatch.setattr("sys.stderr", file)
        on = Terminal()
        on.line(("bold", "bold"), ("red", "red"), ("dim", "dim"))
        on.table(("ID",), [("x",)])
        on.note("beside")
        on.fail(CliError("wrong", hint="go on"))
        return file.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")

    # when NO_COLOR is not set, is empty, and is set
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = written()
    monkeypatch.setenv("NO_COLOR", "")
    empty = written()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = written()

    # then
    assert "\x1b[1m" in coloured
    assert empty == coloured
    assert "\x1b" not in plain


@pytest.mark.parametrize("arguments", [["get", "--help"], ["get", "--nonsense"]])
def test_nor_in_the_help_and_what_is_said_about_wrong_use(arguments: list[str]) -> None:
    written = subprocess.run(
        [sys.executable, "-m", "services.cli.main", *arguments],
        check=False,
        env={**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout
    assert "Usage: runyard get" in written
    assert "\x1b" not in written
