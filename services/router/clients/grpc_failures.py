"""Maps statuses of providers over gRPC to failure classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import grpc
from grpc import StatusCode

from runyard.provider.v1 import errors_pb2
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.protobuf.enums import ReadTable
from services.router.clients.credentials import masked
from services.router.clients.error_facts import status_in
from services.router.clients.grpc_windows import windows_of_status
from services.router.clients.http_failures import class_of_status
from services.router.clients.local_limits import LOCAL_ERRNOS, of_errno
from services.router.clients.retry_hints import MAX_RETRY_AFTER_S
from services.router.core.failures import QUOTA, Failure, FailureClass
from services.router.core.quota_windows import refused_until

DOMAIN = "provider.runyard.dev"
_PREFIX = "ERROR_REASON_"

_REASONS = ReadTable(
    errors_pb2.ErrorReason,
    "ERROR_REASON",
    {
        "INVALID_REQUEST": FailureClass.INVALID_REQUEST,
        "IDEMPOTENCY_CONFLICT": FailureClass.INVALID_REQUEST,
        "STORE_UNAVAILABLE": FailureClass.SERVER_ERROR,
        "UNIMPLEMENTED": FailureClass.NOT_FOUND,
        "INTERNAL": FailureClass.SERVER_ERROR,
        "UNAUTHENTICATED": FailureClass.AUTH,
        "PERMISSION_DENIED": FailureClass.PERMISSION,
        "DEADLINE_EXCEEDED": FailureClass.SERVER_ERROR,
        "CONTEXT_LENGTH": FailureClass.CONTEXT_LENGTH,
        "CONTENT_POLICY": FailureClass.CONTENT_POLICY,
        "MODEL_NOT_FOUND": FailureClass.NOT_FOUND,
        "PAYMENT": FailureClass.PAYMENT,
        "RATE_LIMIT": FailureClass.RATE_LIMIT,
        "QUOTA_EXHAUSTED": FailureClass.QUOTA_EXHAUSTED,
        "OVERLOADED": FailureClass.OVERLOADED,
        "TOO_MANY_CALLS": FailureClass.RATE_LIMIT,
        "DATABASE_LOST": FailureClass.SERVER_ERROR,
    },
)
_CODES: Mapping[StatusCode, FailureClass] = {
    StatusCode.CANCELLED: FailureClass.SERVER_ERROR,
    StatusCode.UNKNOWN: FailureClass.SERVER_ERROR,
    StatusCode.INVALID_ARGUMENT: FailureClass.INVALID_REQUEST,
    # The caller's own deadline is told apart before.
    StatusCode.DEADLINE_EXCEEDED: FailureClass.SERVER_ERROR,
    StatusCode.NOT_FOUND: FailureClass.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: FailureClass.INVALID_REQUEST,
    StatusCode.PERMISSION_DENIED: FailureClass.PERMISSION,
    StatusCode.RESOURCE_EXHAUSTED: FailureClass.RATE_LIMIT,
    # Of the account or the model, not of this request: another member may answer it.
    StatusCode.FAILED_PRECONDITION: FailureClass.PERMISSION,
    StatusCode.ABORTED: FailureClass.SERVER_ERROR,
    StatusCode.OUT_OF_RANGE: FailureClass.INVALID_REQUEST,
    # A server that is not of ``provider.v1``.
    StatusCode.UNIMPLEMENTED: FailureClass.NOT_FOUND,
    StatusCode.INTERNAL: FailureClass.SERVER_ERROR,
    StatusCode.UNAVAILABLE: FailureClass.SERVER_ERROR,
    StatusCode.DATA_LOSS: FailureClass.SERVER_ERROR,
    StatusCode.UNAUTHENTICATED: FailureClass.AUTH,
}
# With these a connection says that it broke.
_BREAKS = frozenset({StatusCode.CANCELLED, StatusCode.UNAVAILABLE})
# What gRPC makes of an answer of HTTP; its words have the number.
_OF_PROXIES = frozenset({StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.UNKNOWN})
# The caller can correct these, so it gets the text of the provider.
_WITH_DETAIL = frozenset({FailureClass.INVALID_REQUEST, FailureClass.CONTEXT_LENGTH})
# Said by our own side of a connection; the last error of the system has its number at the end.
_NOT_CONNECTED = re.compile(r"failed to connect to all addresses; .*\((\d+)\)\Z", re.DOTALL)
# Said by the libraries of C++, Go and Java; the first one names the side.
_TOO_LARGE = re.compile(r"message larger than max|message exceeds maximum size", re.IGNORECASE)


def failure_of_status(
    error: grpc.aio.AioRpcError, secrets: tuple[str, ...], now: datetime, *, began: bool
) -> Failure:
    """The failure behind a status.

    Args:
        secrets: Masked in the detail, in case the provider repeats them.
        began: Part of the answer has arrived.
    """
    facts = reason_of(error)
    if (shortage := _local_limit(facts)) is not None:
        return shortage
    kind, hint_s = _kind(facts, began=began), _hint_s(facts)
    windows = windows_of_status(error, hint_s, now)
    if hint_s is None and kind in QUOTA and (until := refused_until(windows)) is not None:
        hint_s = (until - now).total_seconds()
    words = masked(_words(facts), secrets)
    detail = words if kind in _WITH_DETAIL else ""
    return Failure(kind, retry_after_s=hint_s, detail=detail, words=words, windows=windows)


def _local_limit(facts: ErrorFacts) -> Failure | None:
    """The failure when no connection could be made for want of files, memory or ports here."""
    found = _NOT_CONNECTED.match(facts.message)
    if found is None or facts.code is not StatusCode.UNAVAILABLE:
        return None
    number = int(found[1])
    return of_errno(number) if number in LOCAL_ERRNOS else None


def _kind(facts: ErrorFacts, *, began: bool) -> FailureClass:
    said = _said_by_reason(facts)
    if said is not None:
        return said
    if facts.code is StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE.search(facts.message):
        ours = facts.message.startswith("CLIENT:")
        return FailureClass.STREAM_MALFORMED if ours else FailureClass.CONTEXT_LENGTH
    if facts.code is StatusCode.UNAVAILABLE and facts.retry_after_s is not None:
        return FailureClass.OVERLOADED
    if facts.code in _OF_PROXIES and (denial := class_of_status(status_in(facts.message))):
        return denial
    if began and facts.code in _BREAKS:
        return FailureClass.STREAM_TRUNCATED
    return _CODES[facts.code]


def _said_by_reason(facts: ErrorFacts) -> FailureClass | None:
    """What the reason says; None for an unknown one, and for one of another domain."""
    if facts.domain != DOMAIN:
        return None
    numbers = errors_pb2.ErrorReason.items()
    number = dict(numbers).get(_PREFIX + facts.reason.removeprefix(_PREFIX), 0)
    return _REASONS.from_pb.get(number)


def _words(facts: ErrorFacts) -> str:
    violations = (f"{each.field}: {each.description}" for each in facts.violations)
    return "; ".join(filter(None, (facts.message, *violations)))


def _hint_s(facts: ErrorFacts) -> float | None:
    seconds = facts.retry_after_s
    return seconds if seconds is not None and 0 <= seconds <= MAX_RETRY_AFTER_S else None
