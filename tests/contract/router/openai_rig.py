"""Calls of the openai adapter, to their end or to their failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import (
    Message,
    Role,
    Text,
    ToolDefinition,
)
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import Failure, UpstreamError
from services.router.core.items import (
    Finished,
    TextDelta,
    UpstreamItem,
)
from services.router.core.model import Credential, Member, Model, OpenAi, Provider
from services.router.core.ports import UpstreamCall
from services.router.core.request import (
    Prompt,
)

ASK = Prompt((Message(Role.USER, (Text("hi"),)),))


LOOK = ToolDefinition("look", "Looks.", '{"type": "object"}')


def member(base_url: str, credential: Credential | None = None, **options: object) -> Member:
    api = replace(OpenAi(base_url), **options)  # type: ignore[arg-type]  # fields by name
    served = Provider("vllm", api, credential)
    return Member(Model("m1", "vllm", "gpt"), served)


async def items_of(adapter: OpenAiAdapter, to: Member, prompt: Prompt = ASK) -> list[UpstreamItem]:
    """The whole answer."""
    items: list[UpstreamItem] = []
    async with adapter.open(UpstreamCall(to, prompt, "session")) as upstream:
        while not items or not isinstance(items[-1], Finished):
            items += await upstream.read()
    return items


async def failure_of(
    adapter: OpenAiAdapter, to: Member, prompt: Prompt = ASK
) -> tuple[list[UpstreamItem], Failure]:
    """What came before the failure, and the failure."""
    items: list[UpstreamItem] = []
    with pytest.raises(UpstreamError) as raised:  # noqa: PT012  # the reads before it are the point
        async with adapter.open(UpstreamCall(to, prompt, "")) as upstream:
            while True:
                items += await upstream.read()
    return items, raised.value.failure


def said(items: list[UpstreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


def call_delta(
    index: int | None, arguments: str, call_id: str | None = None, name: str | None = None
) -> dict[str, object]:
    delta: dict[str, object] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        delta["index"] = index
    if call_id is not None:
        delta |= {"id": call_id, "type": "function"}
    return delta
