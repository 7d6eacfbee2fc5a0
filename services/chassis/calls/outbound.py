"""Outbound calls: the deadline and the trace of the running call go along, a span goes around.

A wrapper of the channel and not client interceptors: those run each call in a task of its own, are
installed for one arity per class, and leave tasks behind when a server ends a stream that its
client still writes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar, cast

import grpc
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.access.on_behalf import HEADER, OnBehalfOf, find_acting_for
from services.chassis.access.peers import Peers
from services.chassis.calls.call import find_call
from services.chassis.observe import telemetry
from services.chassis.observe.metrics import Histogram, measuring
from services.chassis.observe.names import (
    ERROR_TYPE,
    RPC_CLIENT_DURATION,
    RPC_METHOD,
    RPC_STATUS,
    RPC_SYSTEM,
    SERVER_ADDRESS,
    SERVER_PORT,
)

# What the answer needs on its way back to a caller that waits as long as we may.
DEADLINE_MARGIN_S = 0.02
_SHORTEST_TIMEOUT_S = 0.001

DURATION = Histogram(RPC_CLIENT_DURATION, "s", "How long our calls took, streams to their end.")

_PROPAGATOR = TraceContextTextMapPropagator()

T = TypeVar("T")


class OutboundChannel(grpc.aio.Channel):
    """``channel``, whose calls know in whose name they are made."""

    def __init__(self, channel: grpc.aio.Channel, target: str, peers: Peers | None = None) -> None:
        self._channel = channel
        self._peers = peers
        host, _, port = target.rpartition(":")
        self._server: dict[str, str | int] = {SERVER_ADDRESS: host or target}
        if port.isdigit():
            self._server[SERVER_PORT] = int(port)

    def unary_unary(self, method: str, *coders: Any, **options: Any) -> Any:
        return self._starter(method, self._channel.unary_unary(method, *coders, **options))

    def unary_stream(self, method: str, *coders: Any, **options: Any) -> Any:
        return self._starter(method, self._channel.unary_stream(method, *coders, **options))

    def stream_unary(self, method: str, *coders: Any, **options: Any) -> Any:
        return self._starter(method, self._channel.stream_unary(method, *coders, **options))

    def stream_stream(self, method: str, *coders: Any, **options: Any) -> Any:
        return self._starter(method, self._channel.stream_stream(method, *coders, **options))

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._channel.__aexit__(*raised)

    def _starter(self, method: str, begin: Callable[..., Any]) -> Callable[..., Any]:
        name = method.removeprefix("/")
        attributes = {RPC_SYSTEM: "grpc", RPC_METHOD: name, **self._server}

        def start(
            *requests: Any, timeout: float | None = None, metadata: Any = None, **options: Any
        ) -> Any:
            span = telemetry.tracer().start_span(
                name, kind=trace.SpanKind.CLIENT, attributes=attributes
            )
            call = begin(
                *requests,
                timeout=budget_s(timeout, _left_s()),
                metadata=(*(metadata or ()), *self._credentials(), *_context_of(span)),
                **options,
            )
            going = _Going(span, attributes)
            call.add_done_callback(lambda done: going.end(_finished(done.code())))
            return call

        return start

    def _credentials(self) -> tuple[tuple[str, str], ...]:
        """Who calls and for whom; nothing for a server that is not one of ours."""
        if self._peers is None:
            return ()
        whom = _whom()
        said = ((HEADER, str(whom)),) if whom else ()
        return (*self._peers.metadata(), *said)


def budget_s(own_s: float | None, left_s: float | None) -> float | None:
    """The time-out of an outbound call: its own, never beyond what the running call has left."""
    if left_s is None:
        return own_s
    passed_on_s = max(_SHORTEST_TIMEOUT_S, left_s - DEADLINE_MARGIN_S)
    return passed_on_s if own_s is None else min(own_s, passed_on_s)


def _whom() -> OnBehalfOf | None:
    """Whom the code that runs acts for: as its loop says, else the caller it answers."""
    call = find_call()
    if call is None:
        return find_acting_for()
    of_call = OnBehalfOf(call.principal.tenant, call.principal.subject, call.acting_run)
    return find_acting_for() or of_call


def _left_s() -> float | None:
    call = find_call()
    return call.deadline_s_left() if call else None


def _context_of(span: trace.Span) -> list[tuple[str, str]]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return list(carrier.items())


class _Going:
    """A call under way, to be closed once: one that fails while it writes is done twice."""

    __slots__ = ("_attributes", "_ended", "_span", "_started_s")

    def __init__(self, span: trace.Span, attributes: Mapping[str, str | int]) -> None:
        self._span = span
        self._attributes = attributes
        self._started_s = time.monotonic()
        self._ended = False

    def end(self, code: grpc.StatusCode) -> None:
        if self._ended:
            return
        self._ended = True
        answer = {RPC_STATUS: code.name}
        # Cancelling is how we leave a stream, not a failure of the peer.
        if code not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}:
            answer[ERROR_TYPE] = code.name
            self._span.set_status(trace.StatusCode.ERROR)
        if measuring():
            DURATION.record_since(self._started_s, {**self._attributes, **answer})
        self._span.set_attributes(answer)
        self._span.end()


def _finished(answer: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing left to wait for."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    answer.close()
    raise RuntimeError("the call is not finished")
