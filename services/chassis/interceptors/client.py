"""Client interceptors: deadline and trace context of the running call go along, a span around each.

One class per arity: a channel installs a class that handles two of them for the first only.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import grpc
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis import telemetry
from services.chassis.calls import find_call
from services.chassis.telemetry_names import ERROR_TYPE

# What the answer needs on its way back to a caller that waits as long as we may.
DEADLINE_MARGIN_S = 0.02
_SHORTEST_TIMEOUT_S = 0.001

_PROPAGATOR = TraceContextTextMapPropagator()

Details: TypeAlias = grpc.aio.ClientCallDetails
T = TypeVar("T")


def outbound(target: str) -> Sequence[grpc.aio.ClientInterceptor]:
    """The interceptors of a channel to ``target``."""
    return (
        _UnaryUnary(target),
        _UnaryStream(target),
        _StreamUnary(target),
        _StreamStream(target),
    )


def budget_s(own_s: float | None, left_s: float | None) -> float | None:
    """The time-out of an outbound call: its own, never beyond what the running call has left."""
    if left_s is None:
        return own_s
    passed_on_s = max(_SHORTEST_TIMEOUT_S, left_s - DEADLINE_MARGIN_S)
    return passed_on_s if own_s is None else min(own_s, passed_on_s)


class _Outbound:
    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._server: dict[str, str | int] = {"server.address": host or target}
        if port.isdigit():
            self._server["server.port"] = int(port)

    async def _send(self, continuation: Any, details: Details, request: Any) -> Any:
        """Start the call. Its end is that of its span; awaiting it here would break its cancel."""
        name = _text(details.method).removeprefix("/")
        span = telemetry.tracer().start_span(
            name,
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": name, **self._server},
        )
        try:
            call = await continuation(_passing_on(details, span), request)
        except BaseException:
            span.end()
            raise
        call.add_done_callback(lambda done: _end(span, _finished(done.code())))
        return call


class _UnaryUnary(_Outbound, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Details, request: Any
    ) -> Any:
        return await self._send(continuation, client_call_details, request)


class _UnaryStream(_Outbound, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Details, request: Any
    ) -> Any:
        return await self._send(continuation, client_call_details, request)


class _StreamUnary(_Outbound, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Details, request_iterator: Any
    ) -> Any:
        return await self._send(continuation, client_call_details, request_iterator)


class _StreamStream(_Outbound, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Details, request_iterator: Any
    ) -> Any:
        return await self._send(continuation, client_call_details, request_iterator)


def _passing_on(details: Details, span: trace.Span) -> Details:
    """``details`` with the trace context of ``span`` and the deadline of the running call."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    call = find_call()
    replaced: Details = cast("Any", details)._replace(  # declared abstract, in truth a named tuple
        timeout=budget_s(details.timeout, call.deadline_s_left() if call else None),
        metadata=grpc.aio.Metadata(*(details.metadata or ()), *carrier.items()),
    )
    return replaced


def _end(span: trace.Span, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    # Cancelling is how we leave a stream, not a failure of the peer.
    if code not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}:
        span.set_attribute(ERROR_TYPE, code.name)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _finished(answer: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing left to wait for."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    answer.close()
    raise RuntimeError("the call is not finished")


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
