"""What may be written to a terminal, and how."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.exits import CliError

# Words, plain or with a style.
Part: TypeAlias = str | tuple[str, str]

# Wide enough that nothing is folded where a program reads.
_PIPE_WIDTH = 10_000


class Output(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


class Form(StrEnum):
    """How a command answers where a manifest is an answer, too."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"

    @property
    def output(self) -> Output:
        return Output.JSON if self is Form.JSON else Output.TEXT


def safe(text: str) -> str:
    """``text`` without the control characters by which it could act on a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


class Terminal:
    """Where a command writes: text for people, or JSON, one value per line.

    In JSON nothing but JSON is written to standard output.
    """

    def __init__(self, output: Output = Output.TEXT) -> None:
        self.json = output is Output.JSON
        self.console = _console(sys.stdout)
        self._speaker: str | None = None

    def line(self, *parts: Part) -> None:
        """One line of parts, each plain or with a style; in JSON nothing."""
        self.text(_assembled(parts))

    def text(self, text: Text) -> None:
        if not self.json:
            self.end_speech()
            self.console.print(text, soft_wrap=True)
            # Whoever follows something through a pipe sees it when it happens, too.
            self.console.file.flush()

    def speak(self, words: str, *lead: Part, style: str = "", speaker: str = "") -> None:
        """Words that go on where the same speaker stopped, visible at once.

        Args:
            lead: Stands before them when the speaker begins a line.
        """
        if self.json:
            return
        text = Text(safe(words), style=style)
        if self._speaker != speaker:
            self.end_speech()
            self._speaker = speaker
            text = _assembled(lead) + text
        self.console.print(text, end="", soft_wrap=True)
        self.console.file.flush()

    def end_speech(self) -> None:
        """End the line that a speaker has begun."""
        if self._speaker is not None:
            self._speaker = None
            self.console.print()

    def data(self, value: Any) -> None:
        """A value for programs; in text nothing."""
        if self.json:
            self.console.file.write(json.dumps(value, ensure_ascii=False) + "\n")
            self.console.file.flush()

    def note(self, words: str) -> None:
        """Something beside the answer, on standard error; in JSON nothing."""
        if not self.json:
            self.end_speech()
            _console(sys.stderr).print(Text(safe(words), style="dim"), soft_wrap=True)

    def verbatim(self, text: str) -> None:
        """Text for programs and editors, to the letter; in JSON nothing."""
        if not self.json:
            self.end_speech()
            self.console.file.write(text)
            self.console.file.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Aligned columns: fitted to a terminal, and plain text elsewhere; in JSON nothing."""
        if self.json:
            return
        if self.console.is_terminal:
            self._fitted(columns, rows)
            return
        cells = [[safe(cell) for cell in row] for row in (columns, *rows)]
        widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(map(set_cell_size, row, widths)).rstrip() for row in cells)
        self.text(Text("\n".join(lines)))

    def _fitted(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(safe(cell)) for cell in row))
        self.console.print(table)

    def fail(self, error: CliError) -> None:
        self.end_speech()
        errors = _console(sys.stderr)
        if self.json:
            errors.file.write(json.dumps(error_json(error), ensure_ascii=False) + "\n")
            return
        errors.print(
            _assembled((("error: ", "bold red"), error.message, (f"  [{error.reason}]", "dim"))),
            soft_wrap=True,
        )
        for detail in error.details:
            errors.print(Text(f"  {safe(detail)}"), soft_wrap=True)
        if error.hint:
            errors.print(_assembled((("next:  ", "bold"), error.hint)), soft_wrap=True)


def error_json(error: CliError) -> dict[str, Any]:
    return {
        "error": {
            "reason": error.reason,
            "message": error.message,
            "details": list(error.details),
            "hint": error.hint,
        }
    }


def _assembled(parts: Iterable[Part]) -> Text:
    text = Text()
    for part in parts:
        words, style = part if isinstance(part, tuple) else (part, "")
        text.append(safe(words), style)
    return text


def _console(file: Any) -> Console:
    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)
