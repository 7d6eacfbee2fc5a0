"""Calls providers that serve ``runyard.provider.v1``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from runyard.provider.v1.provider_service_pb2 import InferRequest
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock
from services.content.model import Usage
from services.router.clients.credentials import read_secret
from services.router.clients.event_stream import GRACE_S
from services.router.clients.grpc_answer import GrpcReader
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_failures import failure_of_status
from services.router.clients.grpc_request import infer_request
from services.router.clients.grpc_windows import windows_of_metadata
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import Opened, UpstreamItem
from services.router.core.model import Grpc, Provider
from services.router.core.ports import UpstreamCall

# A provider may notice the deadline so much earlier than we.
CLOCK_SKEW_S = 0.1
METHOD = "/runyard.provider.v1.InferenceProviderService/Infer"


class GrpcAdapter:
    """Implements ``ProviderAdapter``; the deadline of the caller and the trace go along."""

    def __init__(self, channels: GrpcChannels, clock: Clock) -> None:
        self._channels = channels
        self._clock = clock

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[GrpcStream]:
        provider, adapter = call.member.provider, call.member.provider.adapter
        if not isinstance(adapter, Grpc):
            raise TypeError(f"not a grpc provider: {provider.id}")
        secrets = _secrets(provider)
        metadata = [("authorization", f"Bearer {secret}") for secret in secrets]
        request = infer_request(call)
        earlier = {each.call_id for message in call.prompt.messages for each in message.tool_calls}
        reader = GrpcReader(provider.id, earlier, request.ByteSize())
        with self._channels.lent(provider, adapter) as channel:
            # Decoded by the reader: gRPC logs a message that it cannot decode, and goes on.
            infer: Any = channel.unary_stream(METHOD, InferRequest.SerializeToString, None)
            begun = infer(request, metadata=metadata, wait_for_ready=False)
            async with streaming(begun) as answer:
                yield GrpcStream(answer, reader, secrets, self._clock)


def _secrets(provider: Provider) -> tuple[str, ...]:
    """The credential of the provider, if it has one.

    Raises:
        UpstreamError: CREDENTIAL_MISSING: it cannot be read, or no metadata can carry it.
    """
    if provider.credential is None:
        return ()
    secret = read_secret(provider.id, provider.credential)
    if not secret.isascii() or not secret.isprintable():
        detail = f"provider {provider.id!r} has a credential that is no printable ASCII text"
        raise UpstreamError(Failure(FailureClass.CREDENTIAL_MISSING, detail=detail))
    return (secret,)


class GrpcStream:
    """Implements ``UpstreamStream``: a read returns the items of one message."""

    def __init__(
        self, call: Any, reader: GrpcReader, secrets: tuple[str, ...], clock: Clock
    ) -> None:
        self._call = call
        self._reader = reader
        self._secrets = secrets
        self._clock = clock
        self._began = False
        self._error: UpstreamError | None = None

    @property
    def counted(self) -> Usage | None:
        return self._reader.counted

    async def read(self) -> Sequence[UpstreamItem]:
        items: list[UpstreamItem] = []
        while not items:
            if self._error is not None:
                raise self._error
            message = await self._message()
            try:
                items.extend(self._reader.take(message))
            except UpstreamError as error:
                # Items before the error in the same message are delivered first.
                self._error = error
        if not self._began:
            self._began = True
            items[:0] = await self._limits()
        if self._reader.complete:
            await self._end()
        return items

    async def _limits(self) -> list[UpstreamItem]:
        """What the metadata before the first message tell of the provider's limits."""
        metadata = await self._call.initial_metadata()
        windows = windows_of_metadata(metadata, self._clock.now())
        return [Opened(windows=windows)] if windows else []

    async def _message(self) -> bytes:
        try:
            message: object = await self._call.read()
        except grpc.aio.AioRpcError as error:
            await self._yield_to_deadline(error)
            raise UpstreamError(
                failure_of_status(error, self._secrets, self._clock.now(), began=self._began)
            ) from None
        if not isinstance(message, bytes):
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED))
        return message

    async def _yield_to_deadline(self, error: grpc.aio.AioRpcError) -> None:
        """The caller's deadline ends the call a moment after that of the attempt, and is no failure
        of the provider.
        """
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and _is_over(self._call):
            await self._clock.sleep(GRACE_S)
            raise UpstreamError(Failure(FailureClass.CANCELLED))

    async def _end(self) -> None:
        """Wait up to ``GRACE_S`` for the status: a provider that is cancelled right behind its last
        item may take the answer for abandoned.
        """
        draining = asyncio.ensure_future(self._drain())
        waiting = asyncio.ensure_future(self._clock.sleep(GRACE_S))
        try:
            await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            waiting.cancel()

    async def _drain(self) -> None:
        try:
            while isinstance(await self._call.read(), bytes):
                pass
        except grpc.aio.AioRpcError:
            # The answer is complete, whatever becomes of the call.
            pass


def _is_over(call: Any) -> bool:
    """Whether the deadline that was sent with the call has passed, by either side's clock."""
    left_s: float | None = call.time_remaining()
    return left_s is not None and left_s <= CLOCK_SKEW_S
