"""Calls endpoints that are compatible with OpenAI chat completions, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from services.chassis.clock import Clock
from services.router.clients.credentials import CredentialMissingError, read_secret
from services.router.clients.http_failures import failure_of_response
from services.router.clients.openai_answer import AnswerReader
from services.router.clients.openai_request import request_body, tool_ids_by_name
from services.router.clients.sse import Event, EventTooLargeError, SseParser
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import UpstreamItem
from services.router.core.model import OpenAi, Provider
from services.router.core.ports import UpstreamCall

CONNECT_S = 10.0
# Of an error body; the rest is not read.
MAX_ERROR_BYTES = 64 * 1024

log = logging.getLogger(__name__)


def open_session() -> aiohttp.ClientSession:
    """A session for all providers: no connection limit, no cookies, no time-out but to connect."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        raise_for_status=False,
    )


class OpenAiAdapter:
    """Implements ``ProviderAdapter``."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[OpenAiStream]:
        provider, adapter = call.member.provider, call.member.provider.adapter
        if not isinstance(adapter, OpenAi):
            raise TypeError(f"not an openai provider: {provider.id}")
        headers, secrets = _headers(provider, adapter)
        body = request_body(adapter, call.member.model.upstream_model, call.prompt, call.cache_key)
        url = f"{adapter.base_url.rstrip('/')}/chat/completions"
        response = await self._post(url, headers, body)
        try:
            await self._check(response, secrets)
            tool_ids = tool_ids_by_name(call.prompt.tools)
            yield OpenAiStream(response, AnswerReader(tool_ids, len(body), secrets))
        finally:
            # Reuses the connection if the answer was read to its end, else closes it, so that the
            # provider stops generating.
            response.release()

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamError(Failure(FailureClass.TIMEOUT_CONNECT)) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamError(Failure(FailureClass.SERVER_ERROR)) from None

    async def _check(self, response: aiohttp.ClientResponse, secrets: tuple[str, ...]) -> None:
        """Raise for an error status, and for a JSON document in place of a stream."""
        is_document = response.content_type == "application/json"
        if response.status == 200 and not is_document:
            return
        body = await _error_body(response.content)
        status = 500 if response.status == 200 else response.status
        now = self._clock.now()
        raise UpstreamError(failure_of_response(status, response.headers, body, secrets, now))


class OpenAiStream:
    """Implements ``UpstreamStream``."""

    def __init__(self, response: aiohttp.ClientResponse, reader: AnswerReader) -> None:
        self._content = response.content
        self._parser = SseParser()
        self._reader = reader
        self._error: UpstreamError | None = None

    async def read(self) -> Sequence[UpstreamItem]:
        while True:
            if self._error is not None:
                raise self._error
            items: list[UpstreamItem] = []
            try:
                self._take(await self._next_chunk(), items)
            except UpstreamError as error:
                # Items before the error in the same read are delivered first.
                self._error = error
                self._reader.add_final_usage(items)
            if items:
                return items

    async def _next_chunk(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError):
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED)) from None

    def _take(self, chunk: bytes, items: list[UpstreamItem]) -> None:
        try:
            events: list[Event] = self._parser.feed(chunk) if chunk else self._parser.finish()
        except EventTooLargeError:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED)) from None
        for event in events:
            self._reader.take(event.data, items)
        if not chunk:
            self._reader.finish(items)


async def _error_body(content: aiohttp.StreamReader) -> bytes:
    """Read an error body up to ``MAX_ERROR_BYTES``, or to where the connection breaks."""
    body = bytearray()
    try:
        while len(body) < MAX_ERROR_BYTES and (chunk := await content.readany()):
            body += chunk
    except (aiohttp.ClientError, OSError):
        pass
    return bytes(body[:MAX_ERROR_BYTES])


def _headers(provider: Provider, adapter: OpenAi) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers of a request, and the secrets among them."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        # Some servers delay small events to compress them.
        "Accept-Encoding": "identity",
    }
    if adapter.organization:
        headers["OpenAI-Organization"] = adapter.organization
    if adapter.project:
        headers["OpenAI-Project"] = adapter.project
    secrets: list[str] = []
    try:
        for header in adapter.headers:
            if header.secret is not None:
                secrets.append(read_secret(header.secret))
            headers[header.name] = header.value if header.secret is None else secrets[-1]
        if provider.credential is not None:
            secrets.append(read_secret(provider.credential))
            headers["Authorization"] = f"Bearer {secrets[-1]}"
    except CredentialMissingError as error:
        log.warning(
            "credential missing", extra={"provider_id": provider.id, "credential": str(error)}
        )
        raise UpstreamError(Failure(FailureClass.AUTH)) from None
    return headers, tuple(secrets)
