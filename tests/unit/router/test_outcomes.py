from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from services.chassis.errors import DomainError, ErrorKind
from services.content.model import FinishReason, ToolCall, Usage
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    Skipped,
    SkipReason,
    Sticky,
)
from services.router.core.errors import (
    AllMembersUnavailableError,
    ContextOverflowError,
    MembersExhaustedError,
    UpstreamExhaustedError,
    UpstreamFailedError,
    UpstreamInvalidError,
    UpstreamOverloadedError,
    UpstreamRejectedError,
    no_member_left,
    stream_interrupted,
    target_not_found,
    upstream_error,
)
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
    commits,
    size_bytes,
)
from services.router.core.model import Member
from tests.unit.router.build import member, target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = ToolCall("c1", "look", '{"a": 1}')


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (FailureClass.INVALID_REQUEST, UpstreamInvalidError, ErrorKind.INVALID),
        (FailureClass.CONTEXT_LENGTH, ContextOverflowError, ErrorKind.INVALID),
        (FailureClass.AUTH, UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.PERMISSION, UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.NOT_FOUND, UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.PAYMENT, UpstreamRejectedError, ErrorKind.PRECONDITION),
        (FailureClass.RATE_LIMIT, UpstreamExhaustedError, ErrorKind.EXHAUSTED),
        (FailureClass.QUOTA_EXHAUSTED, UpstreamExhaustedError, ErrorKind.EXHAUSTED),
        (FailureClass.OVERLOADED, UpstreamOverloadedError, ErrorKind.UNAVAILABLE),
        (FailureClass.SERVER_ERROR, UpstreamFailedError, ErrorKind.UNAVAILABLE),
        (FailureClass.TIMEOUT_IDLE, UpstreamFailedError, ErrorKind.UNAVAILABLE),
        (FailureClass.LOCAL_SHED, UpstreamFailedError, ErrorKind.UNAVAILABLE),
    ],
)
def test_a_failure_surfaces_under_its_own_reason(
    kind: FailureClass, error: type[DomainError], code: ErrorKind
) -> None:
    # when
    raised = upstream_error(Failure(kind), "m1")

    # then
    assert type(raised) is error
    assert raised.kind is code
    assert raised.metadata == {"member_id": "m1", "failure": kind.value}
    assert raised.message.startswith("model 'm1' ")


def test_the_providers_hint_goes_before_what_we_know_ourselves() -> None:
    # given
    hinted = Failure(FailureClass.RATE_LIMIT, retry_after_s=0.0)
    silent = Failure(FailureClass.RATE_LIMIT)

    # when, then
    assert upstream_error(hinted, "m1", 9.0).retry_after_s == 0.0
    assert upstream_error(silent, "m1", 9.0).retry_after_s == 9.0


def test_what_the_provider_says_of_the_request_reaches_the_caller() -> None:
    # given
    failure = Failure(FailureClass.INVALID_REQUEST, 400, detail="top_p is out of range")

    # when
    raised = upstream_error(failure, "m1")

    # then
    assert raised.message == "model 'm1' finds the request invalid: top_p is out of range"
    assert raised.metadata["detail"] == "top_p is out of range"


def test_a_broken_answer_names_what_broke_it() -> None:
    # when
    raised = stream_interrupted(Failure(FailureClass.STREAM_TRUNCATED), "m1")

    # then
    assert raised.reason == "STREAM_INTERRUPTED"
    assert raised.metadata == {"member_id": "m1", "failure": "stream_truncated"}


def test_an_unknown_target_is_named() -> None:
    assert target_not_found("x").metadata == {"target_id": "x"}


def decision(attempts: tuple[Attempt, ...], skipped: tuple[Skipped, ...]) -> RouteDecision:
    return RouteDecision(
        "pool", True, "r1", 7, "a", Sticky.MOVED, attempts=attempts, skipped=skipped
    )


def attempt(member_id: str, failure: Failure | None) -> Attempt:
    return Attempt(
        "id", 1, member_id, "p", "u", AttemptKind.INITIAL, AttemptOutcome.FAILED, failure
    )


def test_with_everybody_set_aside_each_cause_is_named() -> None:
    # given
    skipped = (
        Skipped("a", SkipReason.QUOTA_DEADLINE, NOW),
        Skipped("b", SkipReason.INCAPABLE, detail="tools"),
    )

    # when
    raised = no_member_left(decision((), skipped), 12.5)

    # then
    assert isinstance(raised, AllMembersUnavailableError)
    assert raised.retry_after_s == 12.5
    assert json.loads(raised.metadata["causes"]) == {"a": "quota_deadline", "b": "incapable tools"}


def test_after_calls_the_members_are_exhausted() -> None:
    # given one that failed twice, one that was cancelled without a failure, one set aside
    attempts = (
        attempt("a", Failure(FailureClass.SERVER_ERROR)),
        attempt("a", Failure(FailureClass.RATE_LIMIT)),
        attempt("c", None),
    )

    # when
    raised = no_member_left(decision(attempts, (Skipped("b", SkipReason.CIRCUIT_OPEN),)), None)

    # then
    assert isinstance(raised, MembersExhaustedError)
    assert raised.retry_after_s is None
    assert json.loads(raised.metadata["causes"]) == {"b": "circuit_open", "a": "rate_limit"}


@pytest.mark.parametrize(
    ("item", "committing"),
    [
        (Opened("r"), False),
        (UsageReport(Usage()), False),
        (TextDelta("x"), True),
        (ReasoningDelta("x"), True),
        (ToolCallDelta(0), True),
        (ToolCallReady(0, CALL), True),
        (Finished(FinishReason.STOP), True),
    ],
)
def test_the_answer_commits_with_its_first_content(item: object, committing: bool) -> None:
    assert commits(item) is committing  # type: ignore[arg-type]  # one of each kind


@pytest.mark.parametrize(
    ("item", "least", "most"),
    [
        (TextDelta("x" * 100), 100, 120),
        (ReasoningDelta("x" * 100, "p", b"y" * 100), 200, 240),
        (ToolCallDelta(0, "x" * 100), 100, 160),
        (ToolCallReady(0, CALL), 8, 100),
        (Finished(FinishReason.STOP), 1, 64),
    ],
)
def test_the_size_of_an_item_is_about_right(item: object, least: int, most: int) -> None:
    assert least <= size_bytes(item) <= most  # type: ignore[arg-type]  # one of each kind


def test_a_quota_belongs_to_the_account_and_the_upstream_model() -> None:
    # given two registry models for the same upstream model of one provider
    one: Member = member("m1")

    # when, then
    assert one.quota_key == ("provider-m1", "", "up-m1")
    assert one.id == "m1"


def test_a_target_with_one_member_is_lone() -> None:
    assert target(member("a")).lone
    assert not target(member("a"), member("b")).lone
