"""Calls endpoints that are compatible with OpenAI chat completions, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode

from services.router.clients.event_stream import EventStream
from services.router.clients.function_names import tool_ids_by_name
from services.router.clients.http_calls import HttpCalls, HttpRequest, headers_of
from services.router.clients.openai_answer import OpenAiReader
from services.router.clients.openai_request import request_body
from services.router.core.model import OpenAi
from services.router.core.ports import UpstreamCall


class OpenAiAdapter:
    """Implements ``ProviderAdapter``."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[EventStream]:
        provider, adapter = call.member.provider, call.member.provider.adapter
        if not isinstance(adapter, OpenAi):
            raise TypeError(f"not an openai provider: {provider.id}")
        own = {"OpenAI-Organization": adapter.organization, "OpenAI-Project": adapter.project}
        given = {name: value for name, value in own.items() if value}
        headers, secrets = headers_of(provider, given, adapter.headers, "Authorization", "Bearer ")
        body = request_body(adapter, call.member, call.prompt, call.cache_key)
        url = _url(adapter)
        earlier = {each.call_id for message in call.prompt.messages for each in message.tool_calls}
        reader = OpenAiReader(
            provider.id, tool_ids_by_name(call.prompt.tools), earlier, len(body), secrets
        )
        async with self._calls.post(HttpRequest(url, headers, body, secrets), reader) as stream:
            yield stream


def _url(adapter: OpenAi) -> str:
    url = f"{adapter.base_url.rstrip('/')}/chat/completions"
    return f"{url}?{urlencode(adapter.query, quote_via=quote)}" if adapter.query else url
