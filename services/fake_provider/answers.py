"""What a script answers, before a dialect writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.content.model import Message, ToolCall, Usage
from services.router.clients.builtin import estimated_usage
from services.router.core.script import Fault, FaultKind, Reply, words

Json: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with what a provider adds to it.

    Attributes:
        id: The same for the same conversation.
        model: As the client named it.
    """

    id: str
    model: str
    reply: Reply
    calls: tuple[ToolCall, ...]
    usage: Usage


class Dialect(Protocol):
    """How a provider writes."""

    @property
    def path(self) -> str:
        """Where requests go."""

    @property
    def overloaded_status(self) -> int: ...

    @property
    def garbage(self) -> bytes:
        """An event that cannot be read."""

    def messages(self, body: object) -> list[Message]:
        """Raises: UnreadableError: The request is none."""

    def whole(self, answer: Answer) -> Json: ...

    def events(self, answer: Answer) -> list[bytes]:
        """Server-sent events, one for each word and call."""

    def begun(self, answer: Answer) -> list[bytes]:
        """The same without what ends an answer."""

    def error(self, status: int, text: str) -> Json: ...


# Status of the faults that come in place of an answer, and what is said of each; None is the
# dialect's own.
REFUSALS: Mapping[FaultKind, tuple[int | None, str]] = {
    FaultKind.RATE_LIMITED: (429, "the rate limit is reached"),
    FaultKind.OVERLOADED: (None, "the provider is overloaded"),
    FaultKind.SERVER_ERROR: (500, "the provider failed"),
    FaultKind.UNAUTHORIZED: (401, "the credential is not valid"),
    FaultKind.INVALID_REQUEST: (400, "the request is not valid"),
}


def answer_of(reply: Reply, messages: Sequence[Message], model: str) -> Answer:
    """Call ids are counted over the conversation: unique in it, and the same for a repeat."""
    before = sum(len(message.tool_calls) for message in messages)
    calls = tuple(
        ToolCall(f"call_{before + number}", call.tool_id, call.arguments_json)
        for number, call in enumerate(reply.tool_calls, start=1)
    )
    answer_id = f"fake-{len(messages)}"
    return Answer(answer_id, model, reply, calls, estimated_usage(reply, messages))


def text_of(fault: Fault) -> Reply:
    """The words that are sent before a fault in mid-answer."""
    return Reply(text="".join(words(fault.text)[: fault.after_deltas]))
