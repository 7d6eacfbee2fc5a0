"""Make calls of the openai adapter, to their end or to their failure."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.content.model import Message, Role, Text, ToolDefinition
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import Failure, UpstreamError
from services.router.core.items import Finished, TextDelta, UpstreamItem
from services.router.core.model import Credential, Member, Model, OpenAi, Provider
from services.router.core.ports import UpstreamCall, UpstreamStream
from services.router.core.request import Prompt
from tests.support.fake_provider import FakeProvider, chunk

ASK = Prompt((Message(Role.USER, (Text("hi"),)),))
LOOK = ToolDefinition("look", "Looks.", '{"type": "object"}')


@dataclass
class OpenAiCalls:
    """The adapter and the provider that it calls; ``options`` are fields of ``OpenAi``."""

    adapter: OpenAiAdapter
    provider: FakeProvider

    def open(
        self, prompt: Prompt = ASK, credential: Credential | None = None, **options: Any
    ) -> AbstractAsyncContextManager[UpstreamStream]:
        api = replace(OpenAi(self.provider.base_url), **options)
        to = Member(Model("m1", "vllm", "gpt"), Provider("vllm", api, credential))
        return self.adapter.open(UpstreamCall(to, prompt, "session"))

    async def items(self, prompt: Prompt = ASK, **options: Any) -> list[UpstreamItem]:
        """The whole answer."""
        items: list[UpstreamItem] = []
        async with self.open(prompt, **options) as upstream:
            while not items or not isinstance(items[-1], Finished):
                items += await upstream.read()
        return items

    async def failure(self, **options: Any) -> tuple[list[UpstreamItem], Failure]:
        """What came before the failure, and the failure."""
        items: list[UpstreamItem] = []
        with pytest.raises(UpstreamError) as raised:  # noqa: PT012  # the reads before it are the point
            async with self.open(**options) as upstream:
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


def calls_chunk(*deltas: dict[str, object]) -> bytes:
    return chunk({"tool_calls": deltas})
