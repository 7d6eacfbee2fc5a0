"""Text in lines: what a terminal may show, and where a line that is too long is broken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from rich.cells import cell_len
from rich.text import Text

# Text, plain or with a style.
Part: TypeAlias = str | tuple[str, str]

# Text that stands beside a lead gets this many columns, however narrow the terminal is.
_NARROWEST = 20
_SHOWN = str.maketrans({"\n": "↵", "\t": " "})
_WORD = re.compile(r"\s*\S+|\s+")


def safe(text: str) -> str:
    """``text`` without the control characters by which it could act on a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def one_line(text: str) -> str:
    """As ``safe``, and without the line breaks and tabs that an id may bring along: a line break is
    shown as ``↵``.
    """
    return safe(text).translate(_SHOWN)


def assembled(parts: Iterable[Part]) -> Text:
    """Parts as one line, whatever they hold."""
    text = Text()
    for part in parts:
        words, style = part if isinstance(part, tuple) else (part, "")
        text.append(one_line(words), style)
    return text


def laid_out(text: Text, width: int | None, lead: Text, rest: Text) -> Text:
    """``text`` in lines of at most ``width`` columns, broken between words.

    A word that is wider stays whole: an id has to be copied as it is.

    Args:
        width: None breaks nothing.
        lead: Stands before the first line.
        rest: Stands before each line after it.
    """
    lines = [line for each in text.split(allow_blank=True) for line in _broken(each, width, rest)]
    led = [(rest if number else lead) + line for number, line in enumerate(lines)]
    return Text("\n").join(led)


def indentation(text: Text) -> Text:
    """The blanks that ``text`` begins with."""
    return Text(" " * (len(text.plain) - len(text.plain.lstrip(" "))))


def _broken(line: Text, width: int | None, rest: Text) -> Iterator[Text]:
    if width is None:
        yield line
        return
    room = max(_NARROWEST, width - cell_len(rest.plain))
    pieces = line.divide(break_offsets(line.plain, room))
    for number, piece in enumerate(pieces):
        piece.rstrip()
        # The blank at which a line is broken belongs to neither.
        yield piece[len(piece.plain) - len(piece.plain.lstrip()) :] if number else piece


def break_offsets(line: str, room: int) -> list[int]:
    """Where to break a line into pieces of at most ``room`` columns; never within a word."""
    offsets: list[int] = []
    column = 0
    for found in _WORD.finditer(line):
        taken = cell_len(found[0])
        if column + taken > room and line[: found.start()].strip():
            offsets.append(found.start())
            taken = cell_len(found[0].lstrip())
            column = 0
        column += taken
    return offsets


def table_rows(
    cells: list[list[str]], width: int | None, wrapping: int | None
) -> Iterator[list[str]]:
    """Rows with their cells padded to columns; the cells of column ``wrapping`` share what is left.

    Every other column is as wide as its widest cell, the ids in it are never cut.
    """
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if width is not None and wrapping is not None:
        others = sum(widths) - widths[wrapping] + 2 * (len(widths) - 1)
        widths[wrapping] = min(widths[wrapping], max(_NARROWEST, width - others))
    for row in cells:
        yield from _table_row(row, widths, wrapping)


def _table_row(row: list[str], widths: list[int], wrapping: int | None) -> Iterator[list[str]]:
    pieces = [row[wrapping]] if wrapping is not None else [""]
    if wrapping is not None:
        offsets = break_offsets(row[wrapping], widths[wrapping])
        pieces = [piece.plain.strip() for piece in Text(row[wrapping]).divide(offsets)]
    for number, piece in enumerate(pieces):
        shown = [
            piece if column == wrapping else "" if number else cell
            for column, cell in enumerate(row)
        ]
        yield [
            cell + " " * (wide - cell_len(cell)) for cell, wide in zip(shown, widths, strict=True)
        ]
