"""What is known of one call, and what is recorded of it: a span, metrics and a line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import grpc
from opentelemetry import trace
from opentelemetry.context import Context as OtelContext
from opentelemetry.context import attach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.caller import Principal
from services.chassis.calls.call import Call
from services.chassis.config.settings import AccessLog
from services.chassis.errors import Violation
from services.chassis.observe import telemetry
from services.chassis.observe.metrics import (
    Counter,
    Histogram,
    Measuring,
    ObservedUpDownCounter,
)
from services.chassis.observe.names import (
    ERROR_ID,
    ERROR_TYPE,
    OUTCOME,
    RPC_ACTIVE_CALLS,
    RPC_METHOD,
    RPC_SERVER_DURATION,
    RPC_SERVER_VIOLATIONS,
    RPC_STATUS,
    RPC_SYSTEM,
    VIOLATION,
)
from services.chassis.server.handlers.arities import Context

Metadata = Mapping[str, str | bytes]

# The server is to blame for these, by the conventions for spans.
SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

DURATION = Histogram(RPC_SERVER_DURATION, "s", "How long calls took, streams to their end.")
ACTIVE = ObservedUpDownCounter(RPC_ACTIVE_CALLS, "{call}", "Calls that are being handled.")
VIOLATIONS = Counter(RPC_SERVER_VIOLATIONS, "{violation}", "What was wrong with refused requests.")

log = logging.getLogger("services.rpc")

_LEVELS = {
    # Somebody has to look.
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNKNOWN: logging.ERROR,
    grpc.StatusCode.DATA_LOSS: logging.ERROR,
    # Somebody may have to, if it lasts.
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
    grpc.StatusCode.DEADLINE_EXCEEDED: logging.WARNING,
    grpc.StatusCode.RESOURCE_EXHAUSTED: logging.WARNING,
}

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_PROPAGATOR = TraceContextTextMapPropagator()
_PARENT = "traceparent"


class CallRecord:
    """One call.

    Attributes:
        peer: Tells the address of the other end as gRPC writes it, ``ipv4:127.0.0.1:50000``.
        metadata: Keys are lower case; holds the last value of a key that came more than once.
        call: Once its handler runs.
        code: How it ended; OK until then.
        reason: Of the error it ended with; empty when there was none.
        violations: Of that error.
        started_s: By ``time.monotonic``.
    """

    __slots__ = (
        *("acting_run", "call", "code", "error_id", "metadata", "method", "peer", "principal"),
        *("reason", "span", "started_s", "traceparent", "violations"),
    )

    def __init__(self, method: str, metadata: Metadata) -> None:
        self.method = method
        self.metadata = metadata
        self.peer: Callable[[], str] = str
        self.principal: Principal | None = None
        self.acting_run = ""
        self.call: Call | None = None
        self.code = grpc.StatusCode.OK
        self.reason = ""
        self.error_id = ""
        self.violations: tuple[Violation, ...] = ()
        self.started_s = 0.0
        self.span: trace.Span | None = None
        self.traceparent = ""

    @property
    def outcome(self) -> str:
        """``done``, ``replayed``, the reason of a refusal, or the code of what had none."""
        if self.reason:
            return self.reason
        if self.code is not grpc.StatusCode.OK:
            return self.code.name
        return "replayed" if self.call and self.call.replayed else "done"


@dataclass(frozen=True, slots=True)
class CallLog:
    """Which calls that succeeded, or were cancelled by their callers, are logged at info.

    Attributes:
        slow_s: Unary calls that took at least as long are.
    """

    all: bool
    slow_s: float

    @classmethod
    def of(cls, access_log: AccessLog, slow_call_s: float) -> CallLog:
        return cls(access_log is AccessLog.ALL, slow_call_s)

    def level(self, code: grpc.StatusCode, unary: bool, lasted_s: float) -> int:
        """The level of a call's log line."""
        if code is grpc.StatusCode.OK:
            told = self.all or (unary and lasted_s >= self.slow_s)
            return logging.INFO if told else logging.DEBUG
        if code is grpc.StatusCode.CANCELLED:
            # Readers of endless streams have no other way to end one.
            return logging.INFO if self.all or unary else logging.DEBUG
        return _LEVELS.get(code, logging.INFO)


class MethodObserver:
    """Observes the calls of one method; what is the same for each of them is made once.

    Args:
        label: Name of the method in spans and metrics.
        housekeeping: A method of probes or reflection: no span, no metrics, log lines at debug.
    """

    def __init__(self, label: str, unary: bool, housekeeping: bool, call_log: CallLog) -> None:
        self._label = label
        self._unary = unary
        self._housekeeping = housekeeping
        self._log = call_log
        self._attributes = {RPC_SYSTEM: "grpc", RPC_METHOD: label}
        self._ended: dict[tuple[grpc.StatusCode, str], dict[str, str]] = {}
        self.active = 0

    def running(self) -> Iterable[tuple[int, Mapping[str, str]]]:
        """How many calls run, for ``ACTIVE``."""
        return () if self._housekeeping else ((self.active, self._attributes),)

    def begin(self, record: CallRecord) -> None:
        """Note the start and make a server span current; its parent comes with the metadata.

        It stays current to the end of the task: gRPC runs each call in a task of its own.
        """
        record.started_s = time.monotonic()
        self.active += 1
        if self._housekeeping:
            return
        context = _parent(record.metadata)
        tracer = telemetry.Recording.tracer
        if tracer is not None:
            record.span = tracer.start_span(
                self._label,
                context=context or OtelContext(),
                kind=trace.SpanKind.SERVER,
                attributes=self._attributes,
                record_exception=False,
                set_status_on_exception=False,
            )
            context = trace.set_span_in_context(record.span, context)
        if context is not None:
            attach(context)
            record.traceparent = telemetry.current_traceparent()

    def end(self, record: CallRecord) -> None:
        """End the span, record the metrics, write the log line."""
        self.active -= 1
        lasted_s = time.monotonic() - record.started_s
        level = logging.DEBUG
        if not self._housekeeping:
            if record.span is not None:
                _end_span(record.span, record)
            if Measuring.provider is not None:
                self._measure(record, lasted_s)
            level = self._log.level(record.code, self._unary, lasted_s)
        if log.isEnabledFor(level):
            log.log(level, "call", extra=_fields(record, lasted_s))

    def _measure(self, record: CallRecord, lasted_s: float) -> None:
        key = record.code, record.outcome
        attributes = self._ended.get(key)
        if attributes is None:
            attributes = {**self._attributes, RPC_STATUS: record.code.name, OUTCOME: key[1]}
            if record.code in SERVER_FAULTS:
                attributes[ERROR_TYPE] = record.reason or record.code.name
            self._ended[key] = attributes
        DURATION.record(lasted_s, attributes)
        for violation in record.violations:
            VIOLATIONS.add(1, {RPC_METHOD: self._label, VIOLATION: violation.reason or "field"})


def code_set_on(context: Context) -> grpc.StatusCode | None:
    """The code that a handler set by hand: those of the health and reflection packages do."""
    code: object = context.code()
    if isinstance(code, int):
        code = _CODES.get(code)
    return code if isinstance(code, grpc.StatusCode) and code.value[0] else None


def _parent(metadata: Metadata) -> OtelContext | None:
    """The context of the caller's span; None when it sent none."""
    if _PARENT not in metadata:
        return None
    carrier = {key: value for key, value in metadata.items() if isinstance(value, str)}
    return _PROPAGATOR.extract(carrier, context=OtelContext())


def _end_span(span: trace.Span, record: CallRecord) -> None:
    span.set_attribute(RPC_STATUS, record.code.name)
    if record.error_id:
        span.set_attribute(ERROR_ID, record.error_id)
    if record.code in SERVER_FAULTS:
        span.set_attribute(ERROR_TYPE, record.reason or record.code.name)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _fields(record: CallRecord, lasted_s: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "rpc_method": record.method,
        "rpc_code": record.code.name,
        "duration_ms": round(lasted_s * 1_000, 3),
        "peer": record.peer(),
    }
    if record.principal is not None:
        fields["principal"] = record.principal.name
        fields["tenant"] = record.principal.tenant
        if record.principal.on_behalf_of:
            fields["on_behalf_of"] = record.principal.on_behalf_of
        if record.acting_run:
            fields["run_id"] = record.acting_run
    if record.reason:
        fields["reason"] = record.reason
    if record.error_id:
        fields["error_id"] = record.error_id
    return fields
