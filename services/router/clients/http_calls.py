"""Posts requests to providers over HTTP, and judges what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from services.chassis.clock import Clock
from services.router.clients.credentials import read_secret
from services.router.clients.event_stream import AnswerReader, EventStream
from services.router.clients.http_failures import (
    failure_of_document,
    failure_of_response,
    page_in_place_of_answer,
)
from services.router.clients.local_limits import local_limit
from services.router.clients.quota_headers import quota_windows
from services.router.clients.sse import MAX_EVENT_BYTES
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.model import Header, Provider

CONNECT_S = 10.0
# Of an error body; the rest is not read.
MAX_ERROR_BYTES = 64 * 1024


def open_session() -> aiohttp.ClientSession:
    """A session for all providers: no connection limit, no cookies, no time-out but to connect."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        raise_for_status=False,
    )


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is posted.

    Attributes:
        secrets: Those among the headers.
        extra_field: A field of the body that a provider may not know; empty for none.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: tuple[str, ...]
    extra_field: str = ""


class ExtraFieldRefusedError(UpstreamError):
    """The provider finds the request invalid, and names its extra field."""


def headers_of(
    provider: Provider,
    own: Mapping[str, str],
    more: Iterable[Header],
    credential_header: str,
    scheme: str = "",
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers of a request, and the secrets among them.

    Args:
        own: Those of the dialect.
        credential_header: The header that presents the credential.
        scheme: What precedes the credential there.

    Raises:
        UpstreamError: A secret is missing; the failure names its reference.
    """
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        # Some servers delay small events to compress them.
        "Accept-Encoding": "identity",
        "User-Agent": "runyard-router",
        **own,
    }
    secrets: list[str] = []
    for header in more:
        if header.secret is not None:
            secrets.append(read_secret(provider.id, header.secret))
        _put(headers, header.name, header.value if header.secret is None else secrets[-1])
    if provider.credential is not None:
        secrets.append(read_secret(provider.id, provider.credential))
        _put(headers, credential_header, scheme + secrets[-1])
    return headers, tuple(secrets)


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header in place of one whose name differs in case only."""
    for same in [each for each in headers if each.lower() == name.lower()]:
        del headers[same]
    headers[name] = value


class HttpCalls:
    """Posts with the session of all providers."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    @asynccontextmanager
    async def post(self, request: HttpRequest, reader: AnswerReader) -> AsyncIterator[EventStream]:
        """Post, and read the answer with ``reader``.

        Raises:
            UpstreamError: The provider refused or could not be reached; ExtraFieldRefusedError if
                it may accept the request without its extra field.
        """
        response = await self._response(request)
        try:
            head = await self._accepted(response, request)
            windows = quota_windows(response.headers, self._clock.now())
            yield EventStream(response.content, head, reader, self._clock, windows)
        finally:
            # Reuses the connection if the answer was read to its end, else closes it, so that the
            # provider stops generating.
            response.release()

    async def _response(self, request: HttpRequest) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(
                request.url, data=request.body, headers=request.headers, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamError(Failure(FailureClass.TIMEOUT_CONNECT)) from None
        except (aiohttp.ClientError, OSError, ValueError, MemoryError, RuntimeError) as error:
            failure = local_limit(error) or Failure(FailureClass.SERVER_ERROR)
            raise UpstreamError(failure) from None

    async def _accepted(self, response: aiohttp.ClientResponse, request: HttpRequest) -> bytes:
        """What was read of the answer to see that it is one, as events.

        A whole answer as a JSON document becomes one event. What it is labelled as says nothing:
        some servers label their events as JSON, and documents as events.
        """
        now, headers, secrets = self._clock.now(), response.headers, request.secrets
        if response.status != 200:
            body = await _read(response.content, MAX_ERROR_BYTES)
            refused = failure_of_response(response.status, headers, body, secrets, now)
            raise _refusal(refused, body, request)
        head = await _start_of(response.content)
        if head.lstrip().startswith(b"<"):
            raise UpstreamError(page_in_place_of_answer(head, secrets))
        if not head.lstrip().startswith((b"{", b"[")):
            return head
        document = head + await _read(response.content, MAX_EVENT_BYTES)
        failure = failure_of_document(document, headers, secrets, now)
        if failure is not None:
            raise _refusal(failure, document, request)
        # JSON has line breaks between its values only.
        line = document.replace(b"\r", b" ").replace(b"\n", b" ")
        return b"data: " + line + b"\n\n"


def _refusal(failure: Failure, body: bytes, request: HttpRequest) -> UpstreamError:
    extra = request.extra_field.encode()
    if extra and failure.kind is FailureClass.INVALID_REQUEST and extra in body:
        return ExtraFieldRefusedError(failure)
    return UpstreamError(failure)


async def _start_of(content: aiohttp.StreamReader) -> bytes:
    """Read to something that is not blank: some servers send blanks while they work."""
    head = b""
    while not head.strip() and (more := await _read(content, 1)):
        head += more
    return head


async def _read(content: aiohttp.StreamReader, least_bytes: int) -> bytes:
    """Read ``least_bytes`` or a little more, or to where the body ends or the connection breaks."""
    body = bytearray()
    try:
        while len(body) < least_bytes and (chunk := await content.readany()):
            body += chunk
    except (aiohttp.ClientError, OSError):
        pass
    return bytes(body)
