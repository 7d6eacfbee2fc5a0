"""Why the router refuses or fails; the reasons are values of ``ErrorReason`` in the contract.

DomainError
├── TargetNotFoundError        NOT_FOUND            no such model or pool
├── SnapshotMissingError       UNAVAILABLE          no registry snapshot yet
├── NoMemberLeftError
│   ├── AllMembersUnavailableError UNAVAILABLE      every member set aside, none called
│   ├── MembersExhaustedError  UNAVAILABLE          every member that could be called failed
│   └── PoolExhaustedError     RESOURCE_EXHAUSTED   every member is rate limited or without quota
├── NoCapableMemberError       FAILED_PRECONDITION  no member can do what the request needs
├── MemberFailedError
│   ├── UpstreamExhaustedError RESOURCE_EXHAUSTED   rate limit or quota
│   ├── UpstreamOverloadedError UNAVAILABLE
│   ├── UpstreamFailedError    UNAVAILABLE          5xx, time-out, truncated or malformed answer
│   ├── UpstreamRejectedError  FAILED_PRECONDITION  credential, payment, unknown upstream model
│   ├── CredentialMissingError FAILED_PRECONDITION  no credential to send
│   ├── RouterOverloadedError  UNAVAILABLE          this machine is short of files, ports or memory
│   ├── UpstreamInvalidError   INVALID_ARGUMENT     the provider finds the request invalid
│   └── ContextOverflowError   INVALID_ARGUMENT
├── StreamInterruptedError     UNAVAILABLE          broke off after part of it was sent
└── AnswerTooLargeError        RESOURCE_EXHAUSTED   larger than one message may be
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from services.chassis.errors import DomainError, ErrorKind, Retry
from services.router.core.decision import RouteDecision, Skipped, SkipReason
from services.router.core.failures import FINAL, PERMANENT, Failure, FailureClass
from services.router.core.model import Target
from services.router.core.needs import missing
from services.router.core.request import Needs

# What a refusal says of a member that was not called.
_SKIP_TEXT: Mapping[SkipReason, str] = {
    SkipReason.CIRCUIT_OPEN: "the circuit breaker is open",
    SkipReason.QUOTA_DEADLINE: "the limit of its provider has not passed",
    SkipReason.QUARANTINED: "it failed in a way that a repeat does not cure",
}
_TEXT: Mapping[FailureClass, str] = {
    FailureClass.INVALID_REQUEST: "finds the request invalid",
    FailureClass.CONTEXT_LENGTH: "says the input does not fit its context window",
    FailureClass.AUTH: "does not accept the provider's credential",
    FailureClass.PERMISSION: "may not be used with the provider's credential",
    FailureClass.NOT_FOUND: "is unknown to the provider",
    FailureClass.PAYMENT: "needs the provider's account to be paid",
    FailureClass.CREDENTIAL_MISSING: "is not called",
    FailureClass.LOCAL_LIMIT: "cannot be called, since the router's machine is short of resources",
    FailureClass.RATE_LIMIT: "is rate limited",
    FailureClass.QUOTA_EXHAUSTED: "has used up its quota",
    FailureClass.OVERLOADED: "is overloaded",
    FailureClass.SERVER_ERROR: "failed",
    FailureClass.TIMEOUT_CONNECT: "could not be reached in time",
    FailureClass.TIMEOUT_FIRST_CHUNK: "did not begin its answer in time",
    FailureClass.TIMEOUT_IDLE: "stopped sending",
    FailureClass.TIMEOUT_TOTAL: "took too long",
    FailureClass.STREAM_TRUNCATED: "ended its answer without finishing it",
    FailureClass.STREAM_MALFORMED: "sent what is no answer",
}


_EXHAUSTED = frozenset({FailureClass.RATE_LIMIT, FailureClass.QUOTA_EXHAUSTED})
# A member that cannot take the call has no say in it.
_SKIPS_EXHAUSTED = frozenset({SkipReason.QUOTA_DEADLINE, SkipReason.INCAPABLE})
# Of 1,800 bytes that the metadata of an error may have.
_MAX_CAUSES_BYTES = 1_200


class TargetNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "TARGET_NOT_FOUND"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, target_id: str, near: Sequence[str]) -> TargetNotFoundError:
        """``near`` are ids that the caller may have meant."""
        text = f"no model or pool has the id {target_id!r}"
        if not near:
            return cls(text, target_id=target_id)
        meant = " or ".join(map(repr, near))
        nearest = json.dumps(near, ensure_ascii=False)
        return cls(f"{text}; did you mean {meant}?", target_id=target_id, nearest=nearest)


class SnapshotMissingError(DomainError):
    kind = ErrorKind.UNAVAILABLE
    reason = "SNAPSHOT_MISSING"
    retry = Retry.RETRYABLE

    @classmethod
    def of(cls) -> SnapshotMissingError:
        return cls("no registry snapshot has arrived yet", retry_after_s=1.0)


class NoMemberLeftError(DomainError):
    """Every member is set aside or has failed in this call."""

    kind = ErrorKind.UNAVAILABLE
    retry = Retry.RETRYABLE

    @staticmethod
    def of(decision: RouteDecision, retry_after_s: float | None) -> NoMemberLeftError:
        """Name the cause of every member.

        Args:
            retry_after_s: Seconds until the first of them recovers; None when unknown.
        """
        causes = {skip.member_id: _cause_of_skip(skip) for skip in decision.skipped}
        for attempt in decision.attempts:
            if attempt.failure is not None:
                causes[attempt.member_id] = _cause_of_failure(attempt.failure)
        listed = "; ".join(f"{member}: {cause}" for member, cause in causes.items())
        error: type[NoMemberLeftError] = AllMembersUnavailableError
        text = f"every member of {decision.target_id!r} is set aside ({listed})"
        if decision.attempts:
            error = MembersExhaustedError
            text = f"every member of {decision.target_id!r} that could be called failed ({listed})"
        if _all_exhausted(decision):
            error = PoolExhaustedError
        return error(
            text,
            retry_after_s=retry_after_s,
            target_id=decision.target_id,
            causes=_fitting(causes),
        )


class AllMembersUnavailableError(NoMemberLeftError):
    reason = "ALL_MEMBERS_UNAVAILABLE"


class MembersExhaustedError(NoMemberLeftError):
    reason = "MEMBERS_EXHAUSTED"


class PoolExhaustedError(NoMemberLeftError):
    """Each member is rate limited or has used up its quota."""

    kind = ErrorKind.EXHAUSTED
    reason = "UPSTREAM_EXHAUSTED"


class NoCapableMemberError(DomainError):
    """Of every member it is known beforehand that it cannot do what the request needs."""

    kind = ErrorKind.PRECONDITION
    reason = "NO_CAPABLE_MEMBER"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, target: Target, needs: Needs) -> NoCapableMemberError:
        lacked = {member.id: missing(needs, member) for member in target.members}
        listed = "; ".join(f"{member}: {', '.join(names)}" for member, names in lacked.items())
        text = f"no member of {target.pool.id!r} can do what the request needs ({listed})"
        if not target.is_pool:
            text = f"model {target.pool.id!r} cannot do what the request needs ({listed})"
        found = json.dumps(lacked, ensure_ascii=False)
        return cls(text, target_id=target.pool.id, missing=found)


class MemberFailedError(DomainError):
    """The failure of one member ends the call.

    Attributes:
        pause_s: When to repeat the call, if nothing is known of the member; None is left open.
    """

    kind = ErrorKind.UNAVAILABLE
    retry = Retry.RETRYABLE
    pause_s: float | None = None

    @staticmethod
    def of(
        failure: Failure, member_id: str, retry_after_s: float | None = None
    ) -> MemberFailedError:
        """The subclass for the kind of failure.

        Args:
            retry_after_s: When the member may be called again, if ``failure`` does not say.
        """
        text = f"model {member_id!r} {_TEXT.get(failure.kind, 'failed')}"
        made = _ERROR_OF.get(failure.kind, UpstreamFailedError)
        hints_s = failure.retry_after_s, retry_after_s, made.pause_s
        error = made(
            f"{text}: {failure.detail}" if failure.detail else text,
            retry_after_s=next((hint_s for hint_s in hints_s if hint_s is not None), None),
            member_id=member_id,
            failure=failure.kind.value,
        )
        if failure.detail:
            error.metadata["detail"] = failure.detail
        return error

    @staticmethod
    def not_called(skip: Skipped, retry_after_s: float | None) -> MemberFailedError:
        """The subclass for a member that cannot be called, and that the session may not leave.

        Args:
            retry_after_s: Seconds until it may be called again; None when unknown.
        """
        error = _ERROR_OF_SKIP.get(skip.reason, UpstreamFailedError)
        return error(
            f"model {skip.member_id!r} is not called: {_SKIP_TEXT.get(skip.reason, 'set aside')}",
            retry_after_s=retry_after_s,
            member_id=skip.member_id,
            failure=skip.reason.value,
        )


class UpstreamExhaustedError(MemberFailedError):
    kind = ErrorKind.EXHAUSTED
    reason = "UPSTREAM_EXHAUSTED"


class UpstreamOverloadedError(MemberFailedError):
    reason = "UPSTREAM_OVERLOADED"


class UpstreamFailedError(MemberFailedError):
    reason = "UPSTREAM_FAILED"


class UpstreamRejectedError(MemberFailedError):
    kind = ErrorKind.PRECONDITION
    reason = "UPSTREAM_REJECTED"
    retry = Retry.HOST_CONFIGURATION_NEEDED


class CredentialMissingError(MemberFailedError):
    kind = ErrorKind.PRECONDITION
    reason = "CREDENTIAL_MISSING"
    retry = Retry.HOST_CONFIGURATION_NEEDED


class RouterOverloadedError(MemberFailedError):
    reason = "ROUTER_OVERLOADED"
    # Files and ports become free as other calls end.
    pause_s = 1.0


class UpstreamInvalidError(MemberFailedError):
    kind = ErrorKind.INVALID
    reason = "UPSTREAM_INVALID_REQUEST"
    retry = Retry.REPAIR_NEEDED


class ContextOverflowError(MemberFailedError):
    kind = ErrorKind.INVALID
    reason = "CONTEXT_OVERFLOW"
    retry = Retry.REPAIR_NEEDED


class StreamInterruptedError(DomainError):
    kind = ErrorKind.UNAVAILABLE
    reason = "STREAM_INTERRUPTED"
    retry = Retry.RETRYABLE

    @classmethod
    def of(cls, failure: Failure, member_id: str) -> StreamInterruptedError:
        """An error that says retryable unless a repeat would fail in the same way."""
        cause = _TEXT.get(failure.kind, "failed")
        error = StreamRefusedError if failure.kind in FINAL else cls
        return error(
            f"model {member_id!r} {cause} after part of its answer was sent",
            retry_after_s=failure.retry_after_s,
            member_id=member_id,
            failure=failure.kind.value,
        )


class StreamRefusedError(StreamInterruptedError):
    """A repeat of the request would fail as well."""

    retry = Retry.NOT_RETRYABLE


class AnswerTooLargeError(DomainError):
    kind = ErrorKind.EXHAUSTED
    reason = "ANSWER_TOO_LARGE"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, size_bytes: int, limit_bytes: int, instead: str) -> AnswerTooLargeError:
        """``instead`` is what the caller can do."""
        return cls(
            f"the answer is {size_bytes:,} bytes, and one message may have {limit_bytes:,}; "
            f"{instead}",
            size_bytes=str(size_bytes),
            limit_bytes=str(limit_bytes),
        )


_ERROR_OF: Mapping[FailureClass, type[MemberFailedError]] = {
    FailureClass.INVALID_REQUEST: UpstreamInvalidError,
    FailureClass.CONTEXT_LENGTH: ContextOverflowError,
    FailureClass.RATE_LIMIT: UpstreamExhaustedError,
    FailureClass.QUOTA_EXHAUSTED: UpstreamExhaustedError,
    FailureClass.OVERLOADED: UpstreamOverloadedError,
    **dict.fromkeys(PERMANENT, UpstreamRejectedError),
    FailureClass.CREDENTIAL_MISSING: CredentialMissingError,
    FailureClass.LOCAL_LIMIT: RouterOverloadedError,
}


_ERROR_OF_SKIP: Mapping[SkipReason, type[MemberFailedError]] = {
    SkipReason.QUOTA_DEADLINE: UpstreamExhaustedError,
    SkipReason.QUARANTINED: UpstreamRejectedError,
}


def _all_exhausted(decision: RouteDecision) -> bool:
    """Of what was called the last failure counts."""
    failures = {each.member_id: each.failure for each in decision.attempts}
    called = all(each is not None and each.kind in _EXHAUSTED for each in failures.values())
    return called and all(skip.reason in _SKIPS_EXHAUSTED for skip in decision.skipped)


def _fitting(causes: Mapping[str, str]) -> str:
    """As JSON; without the details when these are too long: larger metadata is left out whole."""
    whole = json.dumps(causes, ensure_ascii=False)
    if len(whole.encode()) <= _MAX_CAUSES_BYTES:
        return whole
    brief = {member: re.split("[: ]", cause, maxsplit=1)[0] for member, cause in causes.items()}
    return json.dumps(brief, ensure_ascii=False)


def _cause_of_failure(failure: Failure) -> str:
    return f"{failure.kind.value}: {failure.detail}" if failure.detail else failure.kind.value


def _cause_of_skip(skip: Skipped) -> str:
    if skip.reason is SkipReason.CIRCUIT_OPEN:
        return f"{skip.reason.value}: {_SKIP_TEXT[skip.reason]}"
    return f"{skip.reason.value} {skip.detail}" if skip.detail else skip.reason.value
