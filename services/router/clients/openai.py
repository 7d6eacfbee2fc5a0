"""Any endpoint that is compatible with OpenAI chat completions, over HTTP."""

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
# As much of an error body as is looked at.
MAX_ERROR_BYTES = 64 * 1024

log = logging.getLogger(__name__)


def open_session() -> aiohttp.ClientSession:
    """A session for all providers: no limit, no cookies, no clock but the one for connecting."""
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
            await self._refuse(response, secrets)
            tool_ids = tool_ids_by_name(call.prompt.tools)
            yield OpenAiStream(response, AnswerReader(tool_ids, len(body), secrets))
        finally:
            # Gives the connection back when the answer was read to its end, else closes it: the
            # provider stops computing what nobody reads.
            response.release()

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamError(Failure(FailureClass.TIMEOUT_CONNECT)) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise UpstreamError(Failure(FailureClass.SERVER_ERROR)) from None

    async def _refuse(self, response: aiohttp.ClientResponse, secrets: tuple[str, ...]) -> None:
        """Raise unless the response is a stream: an error status, or a document with one inside."""
        is_document = response.content_type == "application/json"
        if response.status == 200 and not is_document:
            return
        body = await _beginning(response.content)
        status = 500 if response.status == 200 else response.status
        now = self._clock.now()
        raise UpstreamError(failure_of_response(status, response.headers, body, secrets, now))


class OpenAiStream:
    """Implements ``UpstreamStream``."""

    def __init__(self, response: aiohttp.ClientResponse, reader: AnswerReader) -> None:
        self._content = response.content
        self._parser = SseParser()
        self._reader = reader
        self._broken: UpstreamError | None = None

    async def read(self) -> Sequence[UpstreamItem]:
        while True:
            if self._broken is not None:
                raise self._broken
            items: list[UpstreamItem] = []
            try:
                self._take(await self._arrived(), items)
            except UpstreamError as error:
                # What came before it in the same read is still part of the answer.
                self._broken = error
                self._reader.break_off(items)
            if items:
                return items

    async def _arrived(self) -> bytes:
        """At least one byte, or none at the end."""
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


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """What there is of an error body; one read brings only what has arrived by then."""
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
        # Compressing small events costs more than it saves, and some servers hold them back for it.
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
