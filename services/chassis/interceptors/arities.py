"""The four kinds of handlers behind one shape."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # ExecuteBatchError is nowhere else

from services.chassis.errors import InvalidRequestError, Violation

# In quotes: the classes are generic in their stubs alone.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Drives a handler to its end: answers the response of a unary one, writes those of a stream.
Invoke: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Around: TypeAlias = Callable[[Invoke, Any, Context], Awaitable[Any]]

# Within this time after a failed write the cancel is here, unless the connection itself broke.
_CANCEL_FOLLOWS_S = 0.5
# And after the end of the requests, unless the peer has really said all: it waits for this long.
_CANCEL_FOLLOWS_END_S = 0.05

_FACTORIES: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def surrounded(handler: Handler, around: Around) -> Handler:
    """A handler of the same arity that runs ``handler`` inside ``around``."""
    invoke = _invocation(handler)

    async def behaviour(request: Any, context: Context) -> Any:
        return await around(invoke, request, cast("Context", _CalmContext(context)))

    factory = _FACTORIES[handler.request_streaming, handler.response_streaming]
    return factory(behaviour, _tolerant(handler.request_deserializer), handler.response_serializer)


def _invocation(handler: Handler) -> Invoke:
    taken = _Requests if handler.request_streaming else _readable
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        return partial(_drive, inner, taken)
    inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
    return partial(_answer, inner, taken)


async def _answer(inner: Any, taken: Callable[[Any], Any], request: Any, context: Context) -> Any:
    response = await inner(taken(request), context)
    _reraise_swallowed_cancel()
    return response


async def _drive(inner: Any, taken: Callable[[Any], Any], request: Any, context: Context) -> None:
    """Write what the handler yields.

    Left to grpc, a generator blocked at ``yield`` learns of a cancel when it is garbage collected;
    here the cancel interrupts the write, and closing the generator runs its ``finally`` at once.
    """
    produced = inner(taken(request), context)
    if inspect.isawaitable(produced):
        await produced
    else:
        async with aclosing(produced) as messages:
            async for message in messages:
                await context.write(message)
    _reraise_swallowed_cancel()


def _tolerant(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """``deserializer``, answering the error of what it cannot read instead of raising it.

    Raised there, outside of every concern of ours, it would be UNKNOWN and a traceback in the log.
    """
    if deserializer is None:
        return None

    def deserialized(message: bytes) -> Any:
        try:
            return deserializer(message)
        except DecodeError as error:
            return error

    return deserialized


def _readable(message: Any) -> Any:
    """Raises:
    InvalidRequestError: ``message`` is the error of one that could not be read.
    """
    if isinstance(message, DecodeError):
        wrong = "is not what this method takes, or holds text that is not UTF-8"
        raise InvalidRequestError.of([Violation("request", wrong)]) from message
    return message


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
            return _readable(await anext(self._requests))
        except StopAsyncIteration:
            await asyncio.sleep(_CANCEL_FOLLOWS_END_S)
            raise


class _CalmContext:
    """The context of gRPC, but a peer that leaves a blocked write interrupts the handler once.

    gRPC fails the write first and cancels the task a moment later: clean-up that the failed write
    began would be torn apart by the cancel.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = _readable(await self._context.read())
        if message is cygrpc.EOF:
            await asyncio.sleep(_CANCEL_FOLLOWS_END_S)
        return message

    async def write(self, message: Any) -> None:
        try:
            await self._context.write(message)
        except cygrpc.ExecuteBatchError:
            await asyncio.sleep(_CANCEL_FOLLOWS_S)
            raise


def _reraise_swallowed_cancel() -> None:
    """A handler that returns although it was cancelled leaks its pending operation in grpc."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
