"""Domain errors on the wire: rendered by the server, read back by clients.

A status carries ``ErrorInfo`` always, ``BadRequest`` for violations, ``RetryInfo`` when it is
known when to repeat, what the servicer adds as far as it fits, and the pushback trailer that stops
a channel from repeating by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis.errors import DomainError, ErrorKind, Retry, Violation

CODE_OF: Mapping[ErrorKind, grpc.StatusCode] = {
    ErrorKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorKind.PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    ErrorKind.STALE: grpc.StatusCode.ABORTED,
    ErrorKind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorKind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorKind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
    ErrorKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorKind.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorKind.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorKind.DATA_LOSS: grpc.StatusCode.DATA_LOSS,
}

INTERNAL_REASON = "INTERNAL"
DETAILS_KEY = "grpc-status-details-bin"
# A channel's own retry policy would run the handler again although the server has decided.
PUSHBACK = ("grpc-retry-pushback-ms", "-1")

# Clients refuse trailers above 8 KiB, counted as they travel: the message percent-encoded, the
# details in base64 and holding the message once more.
_MAX_MESSAGE_WIRE_BYTES = 1_000
_MAX_DETAILS_BYTES = 4_800
_MAX_METADATA_BYTES = 1_800
_MAX_TEXT_BYTES = 400

M = TypeVar("M", bound=Message)

Trailers = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What ``ServicerContext.abort`` takes."""

    code: grpc.StatusCode
    message: str
    trailers: Trailers


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What a client can act on.

    Attributes:
        reason: Value of the service's ``ErrorReason``; empty when a proxy, a channel or a foreign
            server made the status.
        retry_after_s: When a repeat has a chance, in seconds; None when the server did not say.
    """

    code: grpc.StatusCode
    reason: str
    domain: str
    metadata: Mapping[str, str]
    retry_after_s: float | None
    violations: tuple[Violation, ...]
    message: str


def status_of(error: DomainError, domain: str) -> WireStatus:
    """Render ``error`` so that clients branch on its reason, never on its text."""
    return _wire(CODE_OF[error.kind], status_message(error, domain))


def status_message(error: DomainError, domain: str) -> Status:
    """As ``status_of``, for a message that tells of an error."""
    info = _info(error.reason, domain, {"retry": error.retry.value, **error.metadata})
    details: list[Message] = [info]
    if error.retry_after_s is not None:
        details.append(RetryInfo(retry_delay=_duration(error.retry_after_s)))
    message = _fit_encoded(error.message, _MAX_MESSAGE_WIRE_BYTES)
    left_bytes = _MAX_DETAILS_BYTES - len(message.encode()) - sum(map(_packed_bytes, details))
    for detail in error.details:
        if _packed_bytes(detail) <= left_bytes:
            details.append(detail)
            left_bytes -= _packed_bytes(detail)
    if error.violations:
        details.append(_bad_request(error.violations, info, left_bytes))
    return _status(CODE_OF[error.kind], message, details)


def internal_status(domain: str, error_id: str) -> WireStatus:
    """The answer to anything unforeseen: an id to look up in the log, and nothing of the cause."""
    facts = {"retry": Retry.NOT_RETRYABLE.value, "error_id": error_id}
    message = f"internal error {error_id}"
    info = _info(INTERNAL_REASON, domain, facts)
    code = grpc.StatusCode.INTERNAL
    return _wire(code, _status(code, message, [info]))


def reason_of(error: grpc.aio.AioRpcError) -> ErrorFacts:
    """Read back what the server said; works for statuses of any origin."""
    status = _status_in(error)
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, retry):
            if detail.Is(known.DESCRIPTOR):
                with suppress(DecodeError):  # from a foreign server
                    detail.Unpack(known)
    return ErrorFacts(
        code=error.code(),
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        retry_after_s=_seconds(retry.retry_delay) if retry.HasField("retry_delay") else None,
        violations=tuple(Violation(v.field, v.description, v.reason) for v in bad.field_violations),
        message=error.details() or "",
    )


def detail_of(error: grpc.aio.AioRpcError, kind: type[M]) -> M | None:
    """The message of this type that a servicer added to its error, if any."""
    for detail in _status_in(error).details:
        if detail.Is(kind.DESCRIPTOR):
            found = kind()
            with suppress(DecodeError):  # from a foreign server
                detail.Unpack(found)
                return found
    return None


def _wire(code: grpc.StatusCode, status: Status) -> WireStatus:
    return WireStatus(code, status.message, ((DETAILS_KEY, status.SerializeToString()), PUSHBACK))


def _status(code: grpc.StatusCode, message: str, details: Iterable[Message]) -> Status:
    number: int = code.value[0]
    return Status(code=number, message=message, details=[_packed(d) for d in details])


def _info(reason: str, domain: str, facts: Mapping[str, str]) -> ErrorInfo:
    """``facts`` as far as they fit, in their order; ``metadata_omitted`` counts the rest."""
    info = ErrorInfo(reason=reason, domain=domain)
    left_bytes = _MAX_METADATA_BYTES
    omitted = 0
    for key, value in facts.items():
        cost_bytes = len(key) + len(value.encode(errors="replace")) + 8
        if cost_bytes > left_bytes:
            omitted += 1
            continue
        left_bytes -= cost_bytes
        info.metadata[key] = _valid(value)
    if omitted:
        info.metadata["metadata_omitted"] = str(omitted)
    return info


def _bad_request(found: tuple[Violation, ...], info: ErrorInfo, budget_bytes: int) -> BadRequest:
    """The violations that fit; ``metadata["violations_omitted"]`` of ``info`` counts the rest."""
    left_bytes = budget_bytes - 100
    bad = BadRequest()
    for shown, violation in enumerate(found):
        item = BadRequest.FieldViolation(
            field=_fit(violation.field),
            description=_fit(violation.description),
            reason=_fit(violation.reason),
        )
        left_bytes -= item.ByteSize() + 4
        if left_bytes < 0:
            info.metadata["violations_omitted"] = str(len(found) - shown)
            break
        bad.field_violations.append(item)
    return bad


def _packed(detail: Message) -> AnyMessage:
    # ``Any.Pack`` does the same in three times the time.
    url = f"type.googleapis.com/{detail.DESCRIPTOR.full_name}"
    return AnyMessage(type_url=url, value=detail.SerializeToString())


def _packed_bytes(detail: Message) -> int:
    return _packed(detail).ByteSize() + 4


def _duration(seconds: float) -> Duration:
    whole = Duration()
    whole.FromNanoseconds(round(max(0.0, seconds) * 1e9))
    return whole


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _valid(text: str) -> str:
    """A lone surrogate, which JSON input can smuggle in, must not turn an error into a crash."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _fit(text: str) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return encoded[: _MAX_TEXT_BYTES - 3].decode(errors="ignore") + "..."


def _fit_encoded(text: str, limit_bytes: int) -> str:
    """Cut ``text`` so that it takes at most ``limit_bytes`` percent-encoded."""
    if len(text) <= limit_bytes - 3 and text.isascii() and text.isprintable() and "%" not in text:
        return text
    text = _valid(text)
    taken_bytes = 0
    for index, char in enumerate(text):
        taken_bytes += 1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        if taken_bytes > limit_bytes - 3:
            return text[:index] + "..."
    return text


def _status_in(error: grpc.aio.AioRpcError) -> Status:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()
