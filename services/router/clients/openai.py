"""Calls endpoints that are compatible with OpenAI chat completions, over HTTP."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from urllib.parse import quote, urlencode

from services.router.clients.event_stream import EventStream
from services.router.clients.function_names import tool_ids_by_name
from services.router.clients.http_calls import (
    ExtraFieldRefusedError,
    HttpCalls,
    HttpRequest,
    headers_of,
)
from services.router.clients.openai_answer import OpenAiReader
from services.router.clients.openai_request import USAGE_FIELD, request_body
from services.router.core.model import Member, OpenAi, QuotaKey
from services.router.core.ports import UpstreamCall

log = logging.getLogger(__name__)

CAPACITY = 1_000


class OpenAiAdapter:
    """Implements ``ProviderAdapter``.

    A provider that refuses to be asked for token counts is called again without that, and is not
    asked any more for this model until its resource changes.

    Args:
        capacity: Of so many models that is remembered; the one learned first is forgotten.
    """

    def __init__(self, calls: HttpCalls, capacity: int = CAPACITY) -> None:
        self._calls = calls
        self._capacity = capacity
        self._refusing: OrderedDict[QuotaKey, None] = OrderedDict()

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[EventStream]:
        provider, adapter = call.member.provider, call.member.provider.adapter
        if not isinstance(adapter, OpenAi):
            raise TypeError(f"not an openai provider: {provider.id}")
        if call.member.quota_key in self._refusing:
            adapter = replace(adapter, stream_usage=False)
        own = {"OpenAI-Organization": adapter.organization, "OpenAI-Project": adapter.project}
        given = {name: value for name, value in own.items() if value}
        headers, secrets = headers_of(provider, given, adapter.headers, "Authorization", "Bearer ")
        body = request_body(adapter, call.member, call.prompt, call.cache_key)
        earlier = {each.call_id for message in call.prompt.messages for each in message.tool_calls}
        reader = OpenAiReader(
            provider.id, tool_ids_by_name(call.prompt.tools), earlier, len(body), secrets
        )
        extra = USAGE_FIELD if adapter.stream_usage else ""
        request = HttpRequest(_url(adapter), headers, body, secrets, extra)
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(self._calls.post(request, reader))
            except ExtraFieldRefusedError:
                plain = replace(adapter, stream_usage=False)
                body = request_body(plain, call.member, call.prompt, call.cache_key)
                request = replace(request, body=body, extra_field="")
                stream = await stack.enter_async_context(self._calls.post(request, reader))
                self._learn(call.member)
            yield stream

    def _learn(self, member: Member) -> None:
        """Ask the provider of a model no more for token counts: it answers without."""
        self._refusing[member.quota_key] = None
        if len(self._refusing) > self._capacity:
            self._refusing.popitem(last=False)
        log.warning(
            "provider refuses stream_options; its token counts are estimated",
            extra={"provider_id": member.provider.id, "model_id": member.id},
        )


def _url(adapter: OpenAi) -> str:
    url = f"{adapter.base_url.rstrip('/')}/chat/completions"
    return f"{url}?{urlencode(adapter.query, quote_via=quote)}" if adapter.query else url
