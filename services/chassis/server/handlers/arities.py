"""The four kinds of handlers behind one shape."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # ExecuteBatchError is nowhere else

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.protobuf.pieces import parsed
from services.chassis.protobuf.sizes import Check, Sizes
from services.chassis.slices import in_slices

# In quotes: the classes are generic in their stubs alone.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Runs a handler to its end: returns the response of a unary one, writes those of a stream.
Invoke: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
# Makes what a handler is given of what gRPC gives.
Taken: TypeAlias = Callable[[Any], Awaitable[Any]]

# A larger request is parsed, judged and decoded in slices; a change of threads for a smaller one
# would take longer than it does.
_AT_ONCE_BYTES = 32 << 10

_UNREADABLE = "is not what this method takes, or holds text that is not UTF-8"

# Within this time after a failed write the cancel is here, unless the connection itself broke.
_CANCEL_FOLLOWS_S = 0.5
# And after the end of the requests, unless the peer has really said all: it waits for this long.
_CANCEL_FOLLOWS_END_S = 0.05


class _Surrounded(grpc.RpcMethodHandler):  # type: ignore[type-arg]  # generic in its stubs alone
    """A handler of one call; made by hand, since the functions of gRPC take longer for it."""

    unary_unary = unary_stream = stream_unary = stream_stream = None


class OpenedHandler:
    """A handler of any arity as one function, and the way back to a handler.

    Args:
        max_request_bytes: A larger message is refused before it is parsed.
        sizes: Of its fields; what is too large is refused before the handler runs.

    Attributes:
        invoke: Runs the handler.
    """

    def __init__(self, handler: Handler, max_request_bytes: int, sizes: Sizes) -> None:
        self._request_streaming = handler.request_streaming
        self._response_streaming = handler.response_streaming
        ways = ("unary", "stream")
        self._way = f"{ways[handler.request_streaming]}_{ways[handler.response_streaming]}"
        self._deserializer = _decoding(handler.request_deserializer, max_request_bytes, sizes)
        self._serializer = handler.response_serializer
        self.invoke: Invoke = _invocation(handler)
        self.unary = not (handler.request_streaming or handler.response_streaming)

    def around(self, behaviour: Invoke) -> Handler:
        """A handler of the same arity that runs ``behaviour``."""
        surrounded = _Surrounded()
        surrounded.request_streaming = self._request_streaming
        surrounded.response_streaming = self._response_streaming
        surrounded.request_deserializer = self._deserializer
        surrounded.response_serializer = self._serializer
        setattr(surrounded, self._way, behaviour)
        return surrounded


def _invocation(handler: Handler) -> Invoke:
    if not handler.request_streaming and not handler.response_streaming:
        return partial(_answer_unary, handler.unary_unary)
    taken = _requests if handler.request_streaming else _read
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        return partial(_drive, inner, taken)
    return partial(_answer, handler.stream_unary, taken)


async def _answer_unary(inner: Any, request: Any, context: Context) -> Any:
    if isinstance(request, _UNREAD):
        request = await _read(request)
    response = await inner(request, context)
    _reraise_swallowed_cancel()
    return response


async def _answer(inner: Any, taken: Taken, request: Any, context: Context) -> Any:
    response = await inner(await taken(request), _cancel_safe(context))
    _reraise_swallowed_cancel()
    return response


async def _drive(inner: Any, taken: Taken, request: Any, context: Context) -> None:
    """Write what the handler yields.

    Left to grpc, a generator blocked at ``yield`` learns of a cancel when it is garbage collected;
    here the cancel interrupts the write, and closing the generator runs its ``finally`` at once.
    """
    produced = inner(await taken(request), _cancel_safe(context))
    if inspect.isawaitable(produced):
        await produced
    else:
        async with aclosing(produced) as messages:
            try:
                async for message in messages:
                    await context.write(message)
            except cygrpc.ExecuteBatchError:
                await asyncio.sleep(_CANCEL_FOLLOWS_S)  # before the generator is closed
                raise
    _reraise_swallowed_cancel()


@dataclass(frozen=True, slots=True)
class LargeRequest:
    """A request that the task of its call parses and checks, not the event loop."""

    data: bytes
    empty: Message
    sizes: Sizes
    check: Check | None

    def read(self) -> Message:
        """Raises:
        InvalidRequestError: It is malformed, or one of its fields is too large.
        """
        try:
            request = parsed(self.data, self.empty, self.sizes)
        except DecodeError as error:
            raise _refusal(_UNREADABLE) from error
        if self.check is not None:
            self.check(request)
        return request


# What a message that gRPC has read may still be.
_UNREAD = (LargeRequest, InvalidRequestError)


def _decoding(
    deserializer: Callable[[bytes], Any] | None, most_bytes: int, sizes: Sizes
) -> Callable[[bytes], Any] | None:
    """What gRPC calls with each message; it returns an error instead of raising it.

    Raised there, outside of every concern of ours, it would be UNKNOWN and a traceback in the log.
    """
    if deserializer is None:
        return None
    message_type = type(deserializer(b""))
    is_protobuf = issubclass(message_type, Message)
    check = sizes.check_of(message_type) if is_protobuf else None

    def decoded(message: bytes) -> Any:
        if len(message) > most_bytes:
            return _refusal(f"is {len(message):,} bytes, at most {most_bytes:,} are allowed")
        if len(message) > _AT_ONCE_BYTES and is_protobuf:
            return LargeRequest(message, message_type(), sizes, check)
        try:
            request = deserializer(message)
            if check is not None:
                check(request)
        except DecodeError:
            return _refusal(_UNREADABLE)
        except InvalidRequestError as error:
            return error
        return request

    return decoded


def _refusal(wrong: str) -> InvalidRequestError:
    return InvalidRequestError.of([Violation("request", wrong)])


async def _read(request: Any) -> Any:
    """Raises:
    InvalidRequestError: The request is too large, or malformed.
    """
    if isinstance(request, LargeRequest):
        return await in_slices(request.read)
    if isinstance(request, InvalidRequestError):
        raise request
    return request


async def _requests(requests: AsyncIterator[Any]) -> _Requests:
    return _Requests(requests)


class _Requests:
    """What the peer sends, where a peer that leaves does not look like one that has said all.

    gRPC ends the requests in both cases, and cancels the task a moment later in one.
    """

    def __init__(self, requests: AsyncIterator[Any]) -> None:
        self._requests = requests

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        try:
            return await _read(await anext(self._requests))
        except StopAsyncIteration:
            await asyncio.sleep(_CANCEL_FOLLOWS_END_S)
            raise


class CancelSafeContext:
    """The context of gRPC, but a peer that leaves a blocked write interrupts the handler once.

    gRPC fails the write first and cancels the task a moment later: clean-up that the failed write
    began would be torn apart by the cancel.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await _read(await self._context.read())
        if message is cygrpc.EOF:
            await asyncio.sleep(_CANCEL_FOLLOWS_END_S)
        return message

    async def write(self, message: Any) -> None:
        try:
            await self._context.write(message)
        except cygrpc.ExecuteBatchError:
            await asyncio.sleep(_CANCEL_FOLLOWS_S)
            raise


def _cancel_safe(context: Context) -> Context:
    return cast("Context", CancelSafeContext(context))


def _reraise_swallowed_cancel() -> None:
    """A handler that returns although it was cancelled leaks its pending operation in grpc."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
