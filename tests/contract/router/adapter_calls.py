"""Make calls of an adapter, to their end or to their failure."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.content.model import Message, Role, Text, ToolDefinition
from services.router.core.failures import Failure, UpstreamError
from services.router.core.items import Finished, TextDelta, UpstreamItem
from services.router.core.model import Anthropic, Credential, Grpc, Member, Model, OpenAi, Provider
from services.router.core.ports import ProviderAdapter, UpstreamCall, UpstreamStream
from services.router.core.request import Prompt
from tests.support.clock import ManualClock
from tests.support.fake_provider import FakeProvider
from tests.support.joined_text import join
from tests.support.waiting import until

ASK = Prompt((Message(Role.USER, (Text("hi"),)),))
LOOK = ToolDefinition("look", "Looks.", '{"type": "object"}')


@dataclass
class Calls:
    """Calls of an adapter; ``options`` are fields of ``api``."""

    adapter: ProviderAdapter
    api: OpenAi | Anthropic | Grpc
    clock: ManualClock

    def open(
        self,
        prompt: Prompt = ASK,
        credential: Credential | None = None,
        model: Model | None = None,
        session: str = "session",
        **options: Any,
    ) -> AbstractAsyncContextManager[UpstreamStream]:
        provider = Provider("vllm", replace(self.api, **options), credential)
        to = Member(model or Model("m1", "vllm", "gpt"), provider)
        return self.adapter.open(UpstreamCall(to, prompt, session))

    async def items(self, prompt: Prompt = ASK, **options: Any) -> list[UpstreamItem]:
        """The whole answer, as one read would bring it."""
        items: list[UpstreamItem] = []
        async with self.open(prompt, **options) as upstream:
            while not items or not isinstance(items[-1], Finished):
                join(await upstream.read(), items)
        return items

    async def failure(self, **options: Any) -> tuple[list[UpstreamItem], Failure]:
        """What came before the failure, and the failure."""
        items: list[UpstreamItem] = []
        with pytest.raises(UpstreamError) as raised:  # noqa: PT012  # the reads before it are the point
            async with self.open(**options) as upstream:
                while True:
                    items += await upstream.read()
        return items, raised.value.failure

    async def until_waiting(self) -> None:
        """Until the adapter waits for time to pass."""
        await until(lambda: self.clock.sleepers > 0)


@dataclass
class AdapterCalls(Calls):
    """Calls of an adapter over HTTP, and the provider that answers."""

    provider: FakeProvider

    async def release_when_paused(self) -> None:
        await self.provider.until(pauses=1)
        self.provider.go_on()


def said(items: list[UpstreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))
