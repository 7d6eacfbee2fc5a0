"""What may be written to a terminal, and how."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from services.cli.base.colours import styled
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.layout import (
    Part,
    assembled,
    indentation,
    laid_out,
    one_line,
    safe,
    table_rows,
)
from services.cli.base.speech import Speech

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


def read_input() -> str:
    """Standard input to its end.

    Raises:
        CliError: It is not text.
    """
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        message = "cannot read standard input: it is not UTF-8 text"
        raise CliError(message, reason="UNREADABLE", exit_code=EXIT_USAGE) from error


class Terminal:
    """The output of a command: text, or JSON with one value per line.

    On a terminal lines are broken between words. In JSON nothing but JSON is written to standard
    output.
    """

    def __init__(self, output: Output = Output.TEXT) -> None:
        self.json = output is Output.JSON
        self.console = _console(sys.stdout)
        self._speech = Speech(None, Text())
        self._source: str | None = None

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where a program reads."""
        return self.console.width if self.console.is_terminal else None

    def line(
        self, *parts: Part, lead: Sequence[Part] = (), rest: Sequence[Part] | None = None
    ) -> None:
        """One line of parts, each plain or with a style; in JSON nothing.

        Args:
            lead: Before the line.
            rest: Before the lines in which it goes on where it is too long; ``lead`` without it.
        """
        text = assembled(parts)
        following = assembled(lead if rest is None else rest) + indentation(text)
        self._print(laid_out(text, self.width, assembled(lead), following))

    def prose(self, words: str, lead: Sequence[Part] = (), rest: Sequence[Part] = ()) -> None:
        """Text that may have several lines: ``lead`` before the first, ``rest`` before the others;
        in JSON nothing.
        """
        text = Text(safe(words))
        self._print(laid_out(text, self.width, assembled(lead), assembled(rest)))

    def copyable(self, *parts: Part) -> None:
        """A line to be copied, which is never broken; in JSON nothing."""
        self.drawn(assembled(parts))

    def drawn(self, text: Text) -> None:
        """A line as it is; in JSON nothing."""
        self._print(text)

    def _print(self, text: Text) -> None:
        if not self.json:
            self.end_stream()
            with _surviving_hang_up():
                self.console.print(text, soft_wrap=True)
                # A reader of a pipe sees each line at once.
                self.console.file.flush()

    def stream_text(self, words: str, *lead: Part, style: str = "", source: str = "") -> None:
        """Append to the open line of ``source``, or begin a new line; flushes at once.

        On a terminal a word is visible when it is whole.

        Args:
            lead: Printed at the beginning of a new line.
            source: Key of a line: another source ends the open one.
        """
        if self.json:
            return
        if self._source != source:
            self.end_stream()
            self._source = source
            self._speech = Speech(self.width, assembled(lead))
        self._write(self._speech.taken(safe(words), style))

    def end_stream(self) -> None:
        """End the line that a source has begun."""
        if self._source is not None:
            self._source = None
            self._write(self._speech.rest())
            self.console.print()

    def _write(self, text: Text) -> None:
        self.console.print(text, end="", soft_wrap=True)
        self.console.file.flush()

    def data(self, value: Any) -> None:
        """Write a JSON value; nothing in text mode."""
        if self.json:
            self.console.file.write(json.dumps(value, ensure_ascii=False) + "\n")
            self.console.file.flush()

    def note(self, words: str) -> None:
        """Print a remark on standard error; nothing in JSON mode."""
        if not self.json:
            self.end_stream()
            _Errors().show((words, "dim"))

    def verbatim(self, text: str) -> None:
        """Write text unchanged, for programs and editors; nothing in JSON mode."""
        if not self.json:
            self.end_stream()
            self.console.file.write(text)
            self.console.file.flush()

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], wrapping: str = ""
    ) -> None:
        """Aligned columns; in JSON nothing.

        Args:
            wrapping: The column whose cells are broken between words where the terminal is narrow;
                the others, which may be ids, are not.
        """
        cells = [[one_line(cell) for cell in row] for row in (columns, *rows)]
        index = columns.index(wrapping) if wrapping else None
        for number, row in enumerate(table_rows(cells, self.width, index)):
            style = "" if number or not self.console.is_terminal else "bold"
            self._print(Text("  ".join(row).rstrip(), style))

    def fail(self, error: CliError) -> None:
        self.end_stream()
        errors = _Errors()
        if self.json:
            errors.file.write(json.dumps(error_json(error), ensure_ascii=False) + "\n")
            return
        named = (error.message, (f"  [{error.reason}]", "dim"))
        errors.show(*named, lead=("error: ", "bold red"))
        for detail in error.details:
            errors.show(detail, lead="  ")
        if error.hint:
            errors.show(error.hint, lead=("next:  ", "bold"))


@contextmanager
def _surviving_hang_up() -> Iterator[None]:
    """When the terminal is closed, what runs in it still has to drain: write nowhere from then on.

    A pipe that is closed is something else: nobody wants more of the answer.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


class _Errors:
    """Standard error."""

    def __init__(self) -> None:
        self._console = _console(sys.stderr)
        self.file = self._console.file

    def show(self, *parts: Part, lead: Part = "") -> None:
        width = self._console.width if self._console.is_terminal else None
        first = assembled([lead])
        rest = Text(" " * max(cell_len(first.plain), 4)) if lead else Text()
        self._console.print(laid_out(assembled(parts), width, first, rest), soft_wrap=True)


def error_json(error: CliError) -> dict[str, Any]:
    return {
        "error": {
            "reason": error.reason,
            "message": error.message,
            "details": list(error.details),
            "hint": error.hint,
            "metadata": error.facts,
        }
    }


def _console(file: Any) -> Console:
    width = None if file.isatty() else _PIPE_WIDTH
    colours: Any = "auto" if styled() else None
    return Console(
        file=file, width=width, color_system=colours, highlight=False, markup=False, emoji=False
    )
