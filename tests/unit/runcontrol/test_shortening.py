"""Messages that are too large for an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runyard.types.v1 import content_pb2 as content
from services.content.convert import message_to_pb
from services.content.model import (
    Image,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from services.runcontrol.api.codec import event_to_pb
from services.runcontrol.api.responses import (
    MAX_SHOWN_MESSAGE_BYTES,
    run_to_pb,
    stored_message_to_pb,
)
from services.runcontrol.core.events import Event, RunFinished
from services.runcontrol.core.excerpts import share_chars
from services.runcontrol.core.model import (
    MessageOrigin,
    StoredMessage,
    Termination,
    TerminationReason,
)
from tests.support.clock import ManualClock
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl

HALF = "🚀" * (MAX_SHOWN_MESSAGE_BYTES // 8)
MIB = 1 << 20
ENDED = Termination(TerminationReason.NATURAL_END)


def stored(*parts: object) -> StoredMessage:
    message = Message(Role.USER, parts)  # type: ignore[arg-type]  # some are not a user's
    return StoredMessage(1, "run", MessageOrigin.INPUT, message, ManualClock().now())


LARGE = [
    stored(Text(HALF), Text(HALF)),
    stored(ToolCall("c", "tool", HALF), ToolCall("d", "tool", HALF)),
    stored(ToolResult("c", HALF), ToolResult("d", HALF)),
    stored(Reasoning(HALF, "provider", b"sealed"), Text(HALF)),
    stored(Reasoning("hm", "provider", b"x" * 3 * MIB)),
    stored(Image(data=b"x" * 3 * MIB, media_type="image/png"), Text("look")),
    stored(*(Text("🚀" * 9_000) for _ in range(100))),
]


@pytest.mark.parametrize("large", LARGE, ids=range(len(LARGE)))
def test_a_large_message_is_shown_with_the_beginning_of_its_texts(large: StoredMessage) -> None:
    # when it becomes part of an answer
    shown = stored_message_to_pb(large)

    # then it is small, says how large it is, and keeps its parts
    whole = message_to_pb(large.message)
    assert shown.ByteSize() < MIB + 4096
    assert shown.whole_bytes == whole.ByteSize() > MAX_SHOWN_MESSAGE_BYTES
    kinds = [part.WhichOneof("part") for part in shown.message.parts]
    assert kinds == [part.WhichOneof("part") for part in whole.parts]


def test_a_message_of_2_mib_is_shown_whole() -> None:
    # given a message of exactly 2 MiB
    empty = message_to_pb(stored(Text("x" * 2_000_000)).message).ByteSize() - 2_000_000
    text = "x" * (MAX_SHOWN_MESSAGE_BYTES - empty)

    # when it, and one of a byte more, become parts of answers
    fits = stored_message_to_pb(stored(Text(text)))
    larger = stored_message_to_pb(stored(Text(text + "x")))

    # then the first is whole
    assert (fits.message.parts[0].text.text, fits.whole_bytes) == (text, 0)
    assert larger.whole_bytes == MAX_SHOWN_MESSAGE_BYTES + 1
    assert isinstance(larger.message, content.Message)


@pytest.mark.parametrize(
    ("length", "shown", "told"), [(262_144, 262_144, 0), (262_145, 262_144, 262_145)]
)
def test_an_output_text_is_shown_up_to_262144_characters(
    system: InMemoryRunControl, length: int, shown: int, told: int
) -> None:
    # given a run that has answered a long text
    system.start()
    text = "🚀" * length
    run = replace(system.run(), output_text=text)

    # when it is read, and its end is streamed
    read = run_to_pb(run)
    ended = Event(1, 1, "r", "t", run.created_at, 1, RunFinished(ENDED, Usage(), text, ()))
    streamed = event_to_pb(ended).run_finished

    # then both have as much of it, and say how long it is
    for found in (read, streamed):
        assert (found.output_text, found.output_chars) == (text[:shown], told)


@pytest.mark.parametrize(
    ("texts", "chars"), [(0, 16_384), (1, 16_384), (16, 16_384), (17, 15_420), (2_256, 116)]
)
def test_texts_of_one_answer_share_1_mib(texts: int, chars: int) -> None:
    assert share_chars(texts) == chars
