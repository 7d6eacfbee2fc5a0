"""Calls the Anthropic messages API, and endpoints compatible with it, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.router.clients.anthropic_answer import AnthropicReader
from services.router.clients.anthropic_request import request_body
from services.router.clients.event_stream import EventStream
from services.router.clients.function_names import tool_ids_by_name
from services.router.clients.http_calls import HttpCalls, HttpRequest, headers_of
from services.router.core.model import Anthropic
from services.router.core.ports import UpstreamCall


class AnthropicAdapter:
    """Implements ``ProviderAdapter``."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[EventStream]:
        provider, adapter = call.member.provider, call.member.provider.adapter
        if not isinstance(adapter, Anthropic):
            raise TypeError(f"not an anthropic provider: {provider.id}")
        own = {"anthropic-version": adapter.version}
        if adapter.betas:
            own["anthropic-beta"] = ",".join(adapter.betas)
        headers, secrets = headers_of(provider, own, adapter.headers, "x-api-key")
        body = request_body(call.member, call.prompt, call.cache_key)
        earlier = {each.call_id for message in call.prompt.messages for each in message.tool_calls}
        reader = AnthropicReader(
            provider.id, tool_ids_by_name(call.prompt.tools), earlier, len(body), secrets
        )
        url = _url(adapter.base_url)
        async with self._calls.post(HttpRequest(url, headers, body, secrets), reader) as stream:
            yield stream


def _url(base_url: str) -> str:
    """The vendor's base has no version in its path; that of other servers may have, or be whole."""
    base = base_url.rstrip("/")
    if base.endswith("/messages"):
        return base
    return f"{base}/messages" if base.endswith("/v1") else f"{base}/v1/messages"
