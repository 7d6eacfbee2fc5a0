"""Make calls of the anthropic adapter, to see what it sends."""

from __future__ import annotations

from typing import Any

from services.content.model import Message, Reasoning, Role, Text
from services.router.core.request import Prompt
from tests.contract.router.adapter_calls import ASK, AdapterCalls
from tests.support.fake_provider import stream
from tests.support.messages_events import end, start, text_block

OK = stream(start(), *text_block(0, "ok"), *end())
SIGNED = Reasoning("hm", "vllm", b'{"type":"thinking","signature":"c2ln"}')


def of(role: Role, *parts: Any) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))


async def sent(calls: AdapterCalls, *messages: Message, session: str = "", **rest: Any) -> Any:
    """The body of a call without a session, so without marks; ``rest`` are fields of the prompt."""
    calls.provider.answers(OK)
    await calls.items(Prompt(messages or ASK.messages, **rest), session=session)
    return calls.provider.requests[-1].body
