"""The four kinds of handlers behind one shape."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # ExecuteBatchError is nowhere else

# In quotes: the classes are generic in their stubs alone.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# Drives a handler to its end: answers the response of a unary one, writes those of a stream.
Invoke: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Around: TypeAlias = Callable[[Invoke, Any, Context], Awaitable[Any]]

# Within this time after a failed write the cancel is here, unless the connection itself broke.
_CANCEL_FOLLOWS_S = 0.5

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
    return factory(behaviour, handler.request_deserializer, handler.response_serializer)


def _invocation(handler: Handler) -> Invoke:
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        return partial(_drive, inner)
    inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
    return partial(_answer, inner)


async def _answer(inner: Any, request: Any, context: Context) -> Any:
    response = await inner(request, context)
    _reraise_swallowed_cancel()
    return response


async def _drive(inner: Any, request: Any, context: Context) -> None:
    """Write what the handler yields.

    Left to grpc, a generator blocked at ``yield`` learns of a cancel when it is garbage collected;
    here the cancel interrupts the write, and closing the generator runs its ``finally`` at once.
    """
    produced = inner(request, context)
    if inspect.isawaitable(produced):
        await produced
    else:
        async with aclosing(produced) as messages:
            async for message in messages:
                await context.write(message)
    _reraise_swallowed_cancel()


class _CalmContext:
    """The context of gRPC, but a peer that leaves a blocked write interrupts the handler once.

    gRPC fails the write first and cancels the task a moment later: clean-up that the failed write
    began would be torn apart by the cancel.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

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
