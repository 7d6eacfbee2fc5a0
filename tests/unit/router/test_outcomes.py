from __future__ import annotations

import json

import pytest

from services.chassis.calls.rpc_status import CODE_OF
from services.chassis.errors import DomainError, ErrorKind
from services.content.model import FinishReason, ToolCall, Usage
from services.router.core import errors, items
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import Failure, FailureClass
from tests.unit.router.builders import NOW, attempt, decision, member, target

CALL = ToolCall("c1", "look", '{"a": 1}')


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (FailureClass.INVALID_REQUEST, errors.UpstreamInvalidError, ErrorKind.INVALID),
        (FailureClass.CONTEXT_LENGTH, errors.ContextOverflowError, ErrorKind.INVALID),
        (FailureClass.AUTH, errors.UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.PERMISSION, errors.UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.NOT_FOUND, errors.UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.PAYMENT, errors.UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.RATE_LIMIT, errors.UpstreamExhaustedError, ErrorKind.EXHAUSTED),
        (FailureClass.QUOTA_EXHAUSTED, errors.UpstreamExhaustedError, ErrorKind.EXHAUSTED),
        (FailureClass.OVERLOADED, errors.UpstreamOverloadedError, ErrorKind.UNAVAILABLE),
        (FailureClass.SERVER_ERROR, errors.UpstreamFailedError, ErrorKind.UNAVAILABLE),
        (FailureClass.TIMEOUT_IDLE, errors.UpstreamFailedError, ErrorKind.UNAVAILABLE),
        (FailureClass.CREDENTIAL_MISSING, errors.CredentialMissingError, ErrorKind.PRECONDITION),
        (FailureClass.LOCAL_LIMIT, errors.RouterOverloadedError, ErrorKind.UNAVAILABLE),
    ],
)
def test_each_failure_class_has_its_error(
    kind: FailureClass, error: type[DomainError], code: ErrorKind
) -> None:
    # when
    raised = errors.MemberFailedError.of(Failure(kind), "m1")

    # then
    assert type(raised) is error
    assert raised.kind is code
    assert raised.metadata == {"member_id": "m1", "failure": kind.value}
    assert raised.message.startswith("model 'm1' ")


def test_the_providers_hint_takes_precedence() -> None:
    # given
    hinted = Failure(FailureClass.RATE_LIMIT, retry_after_s=0.0)
    silent = Failure(FailureClass.RATE_LIMIT)

    # when, then
    assert errors.MemberFailedError.of(hinted, "m1", 9.0).retry_after_s == 0.0
    assert errors.MemberFailedError.of(silent, "m1", 9.0).retry_after_s == 9.0


def test_the_detail_of_a_failure_is_in_text_and_metadata() -> None:
    # given
    failure = Failure(FailureClass.INVALID_REQUEST, 400, detail="top_p is out of range")

    # when
    raised = errors.MemberFailedError.of(failure, "m1")

    # then
    assert raised.message == "model 'm1' finds the request invalid: top_p is out of range"
    assert raised.metadata["detail"] == "top_p is out of range"


def test_a_missing_credential_is_named_and_nothing_was_sent() -> None:
    # given
    detail = "provider 'p' has no credential: environment variable KEY is not set; set it"
    failure = Failure(FailureClass.CREDENTIAL_MISSING, detail=detail)

    # when
    alone = errors.MemberFailedError.of(failure, "m1")
    in_pool = errors.NoMemberLeftError.of(decision([attempt(1, "m1", failure)]), None)

    # then
    assert alone.message == f"model 'm1' is not called: {detail}"
    assert alone.reason == "CREDENTIAL_MISSING"
    assert json.loads(in_pool.metadata["causes"]) == {"m1": f"credential_missing: {detail}"}


def test_an_interrupted_stream_names_the_failure() -> None:
    # when
    raised = errors.StreamInterruptedError.of(Failure(FailureClass.STREAM_TRUNCATED), "m1")

    # then
    assert raised.reason == "STREAM_INTERRUPTED"
    assert raised.metadata == {"member_id": "m1", "failure": "stream_truncated"}


def test_an_unknown_target_is_named() -> None:
    alone = errors.TargetNotFoundError.of("x", [])
    assert alone.metadata == {"target_id": "x"}
    assert alone.message == "no model or pool has the id 'x'"


def test_an_unknown_target_comes_with_those_that_may_be_meant() -> None:
    error = errors.TargetNotFoundError.of("gtp", ["gpt", "gpt2"])
    assert error.metadata == {"target_id": "gtp", "nearest": '["gpt", "gpt2"]'}
    assert error.message.endswith("; did you mean 'gpt' or 'gpt2'?")


def test_with_every_member_set_aside_each_cause_is_named() -> None:
    # given
    skipped = (
        Skipped("a", SkipReason.QUARANTINED, NOW),
        Skipped("b", SkipReason.INCAPABLE, detail="tools"),
    )

    # when
    raised = errors.NoMemberLeftError.of(decision((), skipped), 12.5)

    # then
    assert isinstance(raised, errors.AllMembersUnavailableError)
    assert raised.retry_after_s == 12.5
    assert json.loads(raised.metadata["causes"]) == {"a": "quarantined", "b": "incapable tools"}


@pytest.mark.parametrize(
    ("failures", "skip", "code"),
    [
        ([FailureClass.RATE_LIMIT, FailureClass.QUOTA_EXHAUSTED], None, "RESOURCE_EXHAUSTED"),
        ([FailureClass.RATE_LIMIT], SkipReason.QUOTA_DEADLINE, "RESOURCE_EXHAUSTED"),
        ([], SkipReason.QUOTA_DEADLINE, "RESOURCE_EXHAUSTED"),
        ([FailureClass.RATE_LIMIT], SkipReason.INCAPABLE, "RESOURCE_EXHAUSTED"),
        ([FailureClass.RATE_LIMIT, FailureClass.OVERLOADED], None, "UNAVAILABLE"),
        ([FailureClass.RATE_LIMIT], SkipReason.CIRCUIT_OPEN, "UNAVAILABLE"),
        ([None], SkipReason.QUOTA_DEADLINE, "UNAVAILABLE"),
    ],
)
def test_a_pool_is_exhausted_when_each_member_is(
    failures: list[FailureClass | None], skip: SkipReason | None, code: str
) -> None:
    # given a member for each failure, and one that was set aside
    attempts = [
        attempt(number, f"m{number}", None if kind is None else Failure(kind))
        for number, kind in enumerate(failures, start=1)
    ]
    skipped = [] if skip is None else [Skipped("s", skip)]

    # when
    raised = errors.NoMemberLeftError.of(decision(attempts, skipped), 20.0)

    # then
    assert CODE_OF[raised.kind].name == code
    assert raised.retry_after_s == 20.0


def test_causes_that_are_too_long_keep_every_members_reason() -> None:
    # given 16 members, each of which lacks something that is long to say
    skipped = [Skipped(f"m{n}", SkipReason.INCAPABLE, detail="x" * 500) for n in range(16)]

    # when
    raised = errors.NoMemberLeftError.of(decision((), skipped), None)

    # then
    causes = json.loads(raised.metadata["causes"])
    assert causes == {f"m{n}": "incapable" for n in range(16)}


def test_after_calls_the_members_are_exhausted() -> None:
    # given one that failed twice, one that was cancelled without a failure, one set aside
    attempts = (
        attempt(1, "a", Failure(FailureClass.SERVER_ERROR)),
        attempt(2, "a", Failure(FailureClass.RATE_LIMIT)),
        attempt(3, "c"),
    )
    skipped = [Skipped("b", SkipReason.CIRCUIT_OPEN)]

    # when
    raised = errors.NoMemberLeftError.of(decision(attempts, skipped), None)

    # then
    assert isinstance(raised, errors.MembersExhaustedError)
    assert raised.retry_after_s is None
    causes = {"b": "circuit_open: the circuit breaker is open", "a": "rate_limit"}
    assert json.loads(raised.metadata["causes"]) == causes


@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        (SkipReason.CIRCUIT_OPEN, errors.UpstreamFailedError, "the circuit breaker is open"),
        (
            SkipReason.QUOTA_DEADLINE,
            errors.UpstreamExhaustedError,
            "the limit of its provider has not passed",
        ),
        (
            SkipReason.QUARANTINED,
            errors.UpstreamRejectedError,
            "it failed in a way that a repeat does not cure",
        ),
        (SkipReason.INCAPABLE, errors.UpstreamFailedError, "set aside"),
    ],
)
def test_a_member_that_the_session_may_not_leave_is_refused_with_its_reason(
    reason: SkipReason, error: type[DomainError], message: str
) -> None:
    # when
    raised = errors.MemberFailedError.not_called(Skipped("m1", reason), 12.5)

    # then
    assert type(raised) is error
    assert raised.message == f"model 'm1' is not called: {message}"
    assert raised.retry_after_s == 12.5
    assert raised.metadata == {"member_id": "m1", "failure": reason.value}


@pytest.mark.parametrize(
    ("item", "committing"),
    [
        (items.Opened("r"), False),
        (items.UsageReport(Usage()), False),
        (items.TextDelta("x"), True),
        (items.ReasoningDelta("x"), True),
        (items.ToolCallDelta(0), True),
        (items.ToolCallReady(0, CALL), True),
        (items.Finished(FinishReason.STOP), True),
    ],
)
def test_the_answer_commits_with_its_first_content(item: object, committing: bool) -> None:
    assert items.commits(item) is committing  # type: ignore[arg-type]  # one of each kind


@pytest.mark.parametrize(
    ("item", "least", "most"),
    [
        (items.TextDelta("x" * 100), 100, 120),
        (items.ReasoningDelta("x" * 100, "p", b"y" * 100), 200, 240),
        (items.ToolCallDelta(0, "x" * 100), 100, 160),
        (items.ToolCallReady(0, CALL), 8, 100),
        (items.Finished(FinishReason.STOP), 1, 64),
    ],
)
def test_the_size_of_an_item_is_about_right(item: object, least: int, most: int) -> None:
    assert least <= items.size_bytes(item) <= most  # type: ignore[arg-type]  # one of each kind


def test_a_quota_belongs_to_the_account_and_the_upstream_model() -> None:
    # given two registry models for the same upstream model of one provider
    one = member("m1")

    # when, then
    assert one.quota_key == ("provider-m1", "", "up-m1")
    assert one.id == "m1"


def test_a_target_with_one_member_has_a_single_member() -> None:
    assert target(member("a")).single_member
    assert not target(member("a"), member("b")).single_member
