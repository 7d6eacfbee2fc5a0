"""Classes of failures of a model call, the same for every kind of provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.router.core.quota_windows import QuotaWindow


class FailureClass(Enum):
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    AUTH = "auth"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    PAYMENT = "payment"
    RATE_LIMIT = "rate_limit"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_CHUNK = "timeout_first_chunk"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    STREAM_TRUNCATED = "stream_truncated"
    STREAM_MALFORMED = "stream_malformed"
    CANCELLED = "cancelled"
    CREDENTIAL_MISSING = "credential_missing"
    LOCAL_LIMIT = "local_limit"


QUOTA = frozenset({FailureClass.RATE_LIMIT, FailureClass.QUOTA_EXHAUSTED, FailureClass.OVERLOADED})
PERMANENT = frozenset(
    {
        FailureClass.AUTH,
        FailureClass.PERMISSION,
        FailureClass.NOT_FOUND,
        FailureClass.PAYMENT,
        FailureClass.CREDENTIAL_MISSING,
    }
)
# A repeat of the same request fails again.
FINAL = PERMANENT | {
    FailureClass.INVALID_REQUEST,
    FailureClass.CONTEXT_LENGTH,
    FailureClass.CONTENT_POLICY,
}
# A retry on the same member may succeed. Not TIMEOUT_TOTAL, after which there is no time left.
TRANSIENT = frozenset(
    {
        FailureClass.SERVER_ERROR,
        FailureClass.TIMEOUT_CONNECT,
        FailureClass.TIMEOUT_FIRST_CHUNK,
        FailureClass.TIMEOUT_IDLE,
        FailureClass.STREAM_TRUNCATED,
        FailureClass.STREAM_MALFORMED,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt failed.

    Attributes:
        http_status: Of the provider's answer; 0 when there was none.
        retry_after_s: The provider's hint when to repeat; None when it gave none.
        detail: For the caller, without secrets: the provider's text if the request is at fault, the
            credential that is missing, what this machine is short of; else empty.
        repeatable: False when the provider said that a repeat is of no use.
        words: What the provider said, without credentials, for the log alone.
        windows: What the answer tells of the provider's limits.
    """

    kind: FailureClass
    http_status: int = 0
    retry_after_s: float | None = None
    detail: str = ""
    repeatable: bool = True
    words: str = field(default="", compare=False)
    windows: tuple[QuotaWindow, ...] = ()


class UpstreamError(Exception):
    """The failure of an attempt, raised by adapters and time-outs; no caller gets it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind.value)
        self.failure = failure
