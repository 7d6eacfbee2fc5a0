"""The prompt of a model call, made of the record of its thread.

The record keeps what was said, whatever it was. The prompt is legal for the strictest provider:

system   one message at most, the first
turns    begin with the user's and alternate; none is blank; the model speaks after results
calls    have unique ids, an object as arguments, and one result each in the next message
sizes    of a part and of a message are at most those that the router takes

It leaves out answers without content, and the input of ended runs that no answer followed: a
provider that refuses an input refuses it in every later prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from services.chassis.ids import is_id
from services.content.model import (
    MAX_PARTS,
    MAX_TEXT_BYTES,
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from services.runcontrol.core.gating import canonical
from services.runcontrol.core.model import MessageOrigin, StoredMessage

# Mistral takes no user's turn after results, and others take no two turns of one role in a row.
AFTER_RESULTS = "Noted."
TO_GO_ON = "Go on."
NO_RESULT = "no result of this call is recorded"
NO_OUTPUT = "(no output)"

_UNNAMED_CALL = "call"
_UNNAMED_TOOL = "unknown_tool"
_MAX_KEPT_ID_BYTES = 480
_MAX_REASONING_PARTS = MAX_PARTS // 2
_MAX_INVALID_CHARS = 1_000
# In UTF-8 a character has four bytes at most.
_SURELY_FITS_CHARS = MAX_TEXT_BYTES // 4


def has_content(answer: Message) -> bool:
    """Whether an answer of a model says or calls anything."""
    for part in answer.parts:
        if isinstance(part, ToolCall) or (isinstance(part, Text) and not _is_blank(part.text)):
            return True
    return False


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def prompt(record: Sequence[StoredMessage], run_id: str, instructions: str) -> tuple[Message, ...]:
    """The messages to send for the run ``run_id``, from the record of its thread.

    A message that is legal as it stands is part of the result itself, not as a copy.

    Args:
        record: Every message of the thread, oldest first.
        instructions: Those of the agent; "" for none.
    """
    turns, rules = _Turns(), [instructions]
    for stored in _answered(record, run_id):
        message = stored.message
        match message.role:
            case Role.SYSTEM:
                rules.append(message.text)
            case Role.USER:
                turns.add_user(message)
            case Role.ASSISTANT:
                turns.add_answer(message)
            case Role.TOOL:
                turns.add_results(message)
            case never:
                assert_never(never)
    said = tuple(Text(_cut(text)) for text in rules if text.strip())
    system = (Message(Role.SYSTEM, said[:MAX_PARTS]),) if said else ()
    return (*system, *turns.closed())


def _answered(record: Sequence[StoredMessage], run_id: str) -> Iterable[StoredMessage]:
    """The record without the input that ended runs have left unanswered."""
    last_answers = {
        each.run_id: each.seq
        for each in record
        if each.origin is MessageOrigin.MODEL and has_content(each.message)
    }
    for each in record:
        given = each.origin in (MessageOrigin.INPUT, MessageOrigin.POOL)
        if not given or each.run_id == run_id or each.seq < last_answers.get(each.run_id, 0):
            yield each


@dataclass
class _Turns:
    """The turns so far.

    Attributes:
        waiting: The calls of the last turn that have no result yet: recorded id and id sent.
    """

    made: list[Message] = field(default_factory=list)
    used_ids: set[str] = field(default_factory=set)
    waiting: list[tuple[str, str]] = field(default_factory=list)

    @property
    def _last(self) -> Role | None:
        return self.made[-1].role if self.made else None

    def add_user(self, message: Message) -> None:
        parts = message.parts if _is_one_text(message) else tuple(_user_parts(message.parts))
        if not parts:
            return
        self._end_calls()
        if self._last is Role.TOOL:
            self.made.append(Message(Role.ASSISTANT, (Text(AFTER_RESULTS),)))
        before = self.made[-1].parts if self._last is Role.USER else ()
        if before and len(before) + len(parts) <= MAX_PARTS:
            self.made[-1] = Message(Role.USER, (*before, *parts))
        else:
            self.made.append(_same_or(message, parts))

    def add_answer(self, message: Message) -> None:
        plain = _is_one_text(message)
        if not plain and not has_content(message):
            return
        self._end_calls()
        if self._last in (None, Role.ASSISTANT):
            self.made.append(Message(Role.USER, (Text(TO_GO_ON),)))
        if plain:
            self.made.append(message)
            return
        said: list[Part] = [
            *list(_reasoning(message.parts))[:_MAX_REASONING_PARTS],
            *_texts(message.parts),
            *message.tool_calls,
        ]
        fitting = said[:MAX_PARTS]
        legal = tuple(self._call(part) if isinstance(part, ToolCall) else part for part in fitting)
        self.made.append(_same_or(message, legal))

    def _call(self, call: ToolCall) -> ToolCall:
        sent = replace(
            call,
            call_id=self._unused(call.call_id),
            tool_id=call.tool_id if is_id(call.tool_id) else _UNNAMED_TOOL,
            arguments_json=_arguments(call.arguments_json),
        )
        self.waiting.append((call.call_id, sent.call_id))
        return sent

    def _unused(self, call_id: str) -> str:
        """The id itself if it is legal and new, else one that is made of it."""
        kept = is_id(call_id) and len(call_id.encode()) <= _MAX_KEPT_ID_BYTES
        base = call_id if kept else _UNNAMED_CALL
        unused, number = base, len(self.used_ids)
        while unused in self.used_ids:
            number += 1
            unused = f"{base}_{number}"
        self.used_ids.add(unused)
        return unused

    def add_results(self, message: Message) -> None:
        """Add the results in the order of the calls; one of no call is left out."""
        if not self.waiting:
            return
        left = [part for part in message.parts if isinstance(part, ToolResult)]
        results = []
        for recorded_id, sent_id in self.waiting:
            found = next((each for each in left if each.call_id == recorded_id), None)
            if found is None:
                results.append(ToolResult(sent_id, NO_RESULT, is_error=True))
                continue
            left.remove(found)
            content = _cut(found.content) if found.content.strip() else NO_OUTPUT
            results.append(replace(found, call_id=sent_id, content=content))
        self.waiting = []
        self.made.append(_same_or(message, tuple(results)))

    def _end_calls(self) -> None:
        if self.waiting:
            self.add_results(Message(Role.TOOL, ()))

    def closed(self) -> list[Message]:
        """The turns, of which the last is one that a model can answer."""
        self._end_calls()
        if self._last in (None, Role.ASSISTANT):
            self.made.append(Message(Role.USER, (Text(TO_GO_ON),)))
        return self.made


def _is_one_text(message: Message) -> bool:
    """Whether the message is legal as it stands, as most of them."""
    if len(message.parts) != 1:
        return False
    part = message.parts[0]
    return (
        isinstance(part, Text) and len(part.text) <= _SURELY_FITS_CHARS and not _is_blank(part.text)
    )


def _same_or(message: Message, parts: tuple[Part, ...]) -> Message:
    return message if message.parts == parts else Message(message.role, parts)


def _user_parts(parts: Iterable[Part]) -> Iterable[Part]:
    for part in parts:
        if isinstance(part, Text):
            yield from _texts((part,))
        elif isinstance(part, Image) and (not part.url or part.url.startswith("https://")):
            yield part


def _texts(parts: Iterable[Part]) -> Iterable[Text]:
    for part in parts:
        if isinstance(part, Text) and part.text.strip():
            # The part itself, which is compared without a look at its text.
            yield part if len(part.text) <= _SURELY_FITS_CHARS else Text(_cut(part.text))


def _reasoning(parts: Iterable[Part]) -> Iterable[Reasoning]:
    for part in parts:
        if isinstance(part, Reasoning) and (part.text.strip() or part.opaque_state):
            yield replace(part, text=_cut(part.text))


def _arguments(arguments_json: str) -> str:
    """The arguments as they are if they are an object, else an object that shows them."""
    if not arguments_json.strip():
        return "{}"
    if canonical(arguments_json) is not None and len(arguments_json) <= _SURELY_FITS_CHARS:
        return arguments_json
    return json.dumps({"invalid_arguments": arguments_json[:_MAX_INVALID_CHARS]})


def _cut(text: str) -> str:
    """The text; of one that is too large the beginning."""
    if len(text) <= _SURELY_FITS_CHARS:
        return text
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
