"""Text that comes bit by bit, in lines that are broken between words."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.text import Text

_PIECE = re.compile(r"\n|[^\S\n]+|\S+")


class Speech:
    """One text from its first words to its end.

    Args:
        width: Columns of the terminal; None breaks nothing and holds nothing back.
        lead: Before the first line; before the others there are as many blanks.
    """

    def __init__(self, width: int | None, lead: Text) -> None:
        self._width = width
        self._lead: Text | None = lead
        self._column = self._indent = cell_len(lead.plain)
        self._blanks = ""
        self._word = ""
        self._style = ""

    def taken(self, words: str, style: str) -> Text:
        """What can be written now: all but the last word, which may go on."""
        out = self._lead or Text()
        self._lead = None
        if self._width is None:
            return out + Text(words, style)
        if style != self._style:
            self._place(out)
            self._style = style
        for piece in _PIECE.findall(words):
            if piece == "\n":
                self._place(out)
                self._next_line(out)
            elif piece.isspace():
                self._place(out)
                self._blanks += piece
            else:
                self._word += piece
        return out

    def rest(self) -> Text:
        """The word that was held back."""
        out = Text()
        self._place(out)
        return out

    def _place(self, out: Text) -> None:
        """Write the word that is held, on a new line if it does not fit on this one."""
        if not self._word:
            return
        taken = cell_len(self._blanks + self._word)
        if self._width and self._column + taken > self._width and self._column > self._indent:
            self._next_line(out)
            taken = cell_len(self._word)
        out.append(self._blanks + self._word, self._style)
        self._column += taken
        self._blanks = self._word = ""

    def _next_line(self, out: Text) -> None:
        out.append("\n" + " " * self._indent)
        self._column = self._indent
        self._blanks = ""
