"""How much of a long text a list or a stream shows; ``GetToolCall`` reads the rest.

Lengths are in characters, which both databases and every language count alike: code points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.runcontrol.core.exchange import Ticket

MAX_SHOWN_CHARS = 16 * 1024
# Of all texts of one answer; each character has at most four bytes.
_ANSWER_CHARS = 256 * 1024


@dataclass(frozen=True, slots=True)
class ShownTicket:
    """A ticket with the beginning of its texts.

    Attributes:
        arguments_chars: Length of the whole arguments; 0 when they are whole.
        question_chars: The same of the question.
    """

    ticket: Ticket
    arguments_chars: int
    question_chars: int


def shown(ticket: Ticket, chars: int = MAX_SHOWN_CHARS) -> ShownTicket:
    """The ticket with at most so many characters of its arguments and of its question."""
    lengths = left_out(ticket.arguments_json, chars), left_out(ticket.question, chars)
    cut = replace(
        ticket, arguments_json=ticket.arguments_json[:chars], question=ticket.question[:chars]
    )
    return ShownTicket(cut if any(lengths) else ticket, *lengths)


def left_out(text: str, shown_chars: int) -> int:
    """The length of a text of which only the first characters are shown; 0 when it is whole."""
    return len(text) if len(text) > shown_chars else 0


def share_chars(texts: int) -> int:
    """How many characters each of so many texts of one answer may show."""
    return min(MAX_SHOWN_CHARS, _ANSWER_CHARS // max(1, texts))


def ticket_bytes(ticket: Ticket) -> int:
    """About the size of a ticket in a message."""
    decided = ticket.winner.verdict.text if ticket.winner else ""
    shown = (text[:MAX_SHOWN_CHARS] for text in (ticket.arguments_json, ticket.question))
    return sum(len(text.encode()) for text in (*shown, decided))
