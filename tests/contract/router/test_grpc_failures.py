"""Failures of the grpc adapter: one of the failure classes, after one request."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from runyard.provider.v1 import errors_pb2
from runyard.provider.v1 import provider_pb2 as pb
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import Finished, Opened, TextDelta, UsageReport
from tests.contract.router.adapter_calls import Calls, said
from tests.support.grpc_upstream import (
    Abort,
    GrpcUpstream,
    Move,
    counted,
    delta,
    finish,
    message,
    ready,
    reason,
    retry_info,
    text,
)
from tests.support.stack import free_port

Code = grpc.StatusCode

OF_CODE = {
    Code.CANCELLED: FailureClass.SERVER_ERROR,
    Code.UNKNOWN: FailureClass.SERVER_ERROR,
    Code.INVALID_ARGUMENT: FailureClass.INVALID_REQUEST,
    Code.DEADLINE_EXCEEDED: FailureClass.SERVER_ERROR,
    Code.NOT_FOUND: FailureClass.NOT_FOUND,
    Code.ALREADY_EXISTS: FailureClass.INVALID_REQUEST,
    Code.PERMISSION_DENIED: FailureClass.PERMISSION,
    Code.RESOURCE_EXHAUSTED: FailureClass.RATE_LIMIT,
    Code.FAILED_PRECONDITION: FailureClass.PERMISSION,
    Code.ABORTED: FailureClass.SERVER_ERROR,
    Code.OUT_OF_RANGE: FailureClass.INVALID_REQUEST,
    Code.UNIMPLEMENTED: FailureClass.NOT_FOUND,
    Code.INTERNAL: FailureClass.SERVER_ERROR,
    Code.UNAVAILABLE: FailureClass.SERVER_ERROR,
    Code.DATA_LOSS: FailureClass.SERVER_ERROR,
    Code.UNAUTHENTICATED: FailureClass.AUTH,
}
OF_REASON = {
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
}


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_every_code_is_a_class_and_a_reason_is_more_exact(
    grpc_calls: Calls, upstream: GrpcUpstream, code: grpc.StatusCode
) -> None:
    # given the code alone, with a reason, and with one of a stranger
    upstream.answers(Abort(code, "no"))
    upstream.answers(Abort(code, "no", [reason("QUOTA_EXHAUSTED")]))
    upstream.answers(Abort(code, "no", [reason("QUOTA_EXHAUSTED", "other.example")]))
    upstream.answers(Abort(code, "no", [reason("NEWER_THAN_THE_ROUTER")]))

    # when
    failures = [(await grpc_calls.failure())[1].kind for _ in range(4)]

    # then
    by_code = OF_CODE[code]
    assert failures == [by_code, FailureClass.QUOTA_EXHAUSTED, by_code, by_code]


@pytest.mark.parametrize("prefix", ["", "ERROR_REASON_"])
@pytest.mark.parametrize(("name", "kind"), OF_REASON.items())
async def test_every_reason_is_a_class(
    grpc_calls: Calls, upstream: GrpcUpstream, name: str, kind: FailureClass, prefix: str
) -> None:
    # given
    upstream.answers(Abort(Code.UNKNOWN, "no", [reason(prefix + name)]))

    # when, then
    assert (await grpc_calls.failure())[1].kind is kind


def test_the_table_of_reasons_is_whole() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in dict(errors_pb2.ErrorReason.items())}
    assert set(OF_REASON) == names - {"UNSPECIFIED"}


HINTS = {
    "rate limit": (Code.RESOURCE_EXHAUSTED, 7, FailureClass.RATE_LIMIT, 7.0),
    "overload": (Code.UNAVAILABLE, 3, FailureClass.OVERLOADED, 3.0),
    "server error": (Code.INTERNAL, 2, FailureClass.SERVER_ERROR, 2.0),
    "in the past": (Code.RESOURCE_EXHAUSTED, -1, FailureClass.RATE_LIMIT, None),
    "in a thousand years": (Code.RESOURCE_EXHAUSTED, 31_622_400_000, FailureClass.RATE_LIMIT, None),
}


@pytest.mark.parametrize(("code", "seconds", "kind", "hint_s"), HINTS.values(), ids=HINTS)
async def test_retry_info_is_the_hint(
    grpc_calls: Calls,
    upstream: GrpcUpstream,
    code: grpc.StatusCode,
    seconds: int,
    kind: FailureClass,
    hint_s: float | None,
) -> None:
    # given
    upstream.answers(Abort(code, "later", [retry_info(seconds)]))

    # when, then
    assert (await grpc_calls.failure())[1] == Failure(kind, retry_after_s=hint_s)


async def test_violations_of_the_provider_are_told_within_bounds(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    bad = BadRequest()
    bad.field_violations.add(field="tools[0]", description="x" * 1_000)
    upstream.answers(Abort(Code.INVALID_ARGUMENT, "refused", [bad]))

    # when
    _, failure = await grpc_calls.failure()

    # then
    assert failure.detail.startswith("refused; tools[0]: xxx")
    assert len(failure.detail) == 500


async def test_details_that_cannot_be_read_leave_the_code(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given details that are no Status, and a Status whose ErrorInfo is none
    spoilt = b"\x1a\x2e\x0a\x28type.googleapis.com/google.rpc.ErrorInfo\x12\x02\x0a\x7f"
    upstream.answers(Abort(Code.NOT_FOUND, "", b"\xff\xff"))
    upstream.answers(Abort(Code.NOT_FOUND, "", spoilt))

    # when, then
    for _ in range(2):
        assert (await grpc_calls.failure())[1] == Failure(FailureClass.NOT_FOUND)


BROKEN: dict[str, tuple[list[Move], FailureClass]] = {
    "OK without Finished": ([], FailureClass.STREAM_TRUNCATED),
    "UNAVAILABLE": ([Abort(Code.UNAVAILABLE)], FailureClass.STREAM_TRUNCATED),
    "CANCELLED": ([Abort(Code.CANCELLED)], FailureClass.STREAM_TRUNCATED),
    "overload": ([Abort(Code.UNAVAILABLE, "", [reason("OVERLOADED")])], FailureClass.OVERLOADED),
    "INTERNAL": ([Abort(Code.INTERNAL)], FailureClass.SERVER_ERROR),
    "a proxy that limits": (
        [Abort(Code.UNAVAILABLE, "Received http2 header with status: 429")],
        FailureClass.RATE_LIMIT,
    ),
    "a proxy that wants money": (
        [Abort(Code.UNKNOWN, "402 Payment Required")],
        FailureClass.PAYMENT,
    ),
    "a proxy that fails": (
        [Abort(Code.UNAVAILABLE, "Received http2 header with status: 502")],
        FailureClass.STREAM_TRUNCATED,
    ),
    "a count": ([Abort(Code.UNKNOWN, "took 429 ms")], FailureClass.SERVER_ERROR),
    "no message": ([b"\xff"], FailureClass.STREAM_MALFORMED),
    "too large a message": ([text("x" * (5 << 20))], FailureClass.STREAM_MALFORMED),
    "a finish without a reason": ([finish(0)], FailureClass.STREAM_MALFORMED),  # type: ignore[arg-type]
    "a finish of a newer version": (
        [message(pb.InferenceItem.FromString(b"\x3a\x02\x08\x63"))],
        FailureClass.STREAM_MALFORMED,
    ),
    "TOOL_CALLS without calls": ([finish(3)], FailureClass.STREAM_MALFORMED),  # type: ignore[arg-type]
    "a call without a tool": ([message(delta(0, "{}", "c1"))], FailureClass.STREAM_MALFORMED),
    "another tool on the same index": (
        [message(delta(0, "", "c1", "look"), delta(0, "{}", "", "see"))],
        FailureClass.STREAM_MALFORMED,
    ),
    "another call on the same index": (
        [message(delta(0, "", "c1", "look"), delta(0, "{}", "c2"))],
        FailureClass.STREAM_MALFORMED,
    ),
    "a call that contradicts its deltas": (
        [message(delta(0, '{"a":1}', "c1", "look"), ready(0, '{"a":2}', "c1", "look"))],
        FailureClass.STREAM_MALFORMED,
    ),
    "endless arguments": (
        [
            message(delta(0, "x" * 600_000, "c1", "look")),
            message(delta(0, "x" * 600_000)),
        ],
        FailureClass.STREAM_MALFORMED,
    ),
}


@pytest.mark.parametrize(("moves", "kind"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_fails_after_the_items_before_it(
    grpc_calls: Calls, upstream: GrpcUpstream, moves: list[Move], kind: FailureClass
) -> None:
    # given
    upstream.answers(text("a"), counted(input_tokens=5), *moves)

    # when
    items, failure = await grpc_calls.failure()

    # then
    assert items[:2] == [Opened(), TextDelta("a")]
    assert isinstance(items[2], UsageReport)
    assert failure.kind is kind
    assert not any(isinstance(item, Finished) for item in items)
    assert len(upstream.requests) == 1


async def test_items_before_an_error_in_the_same_message_are_delivered(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(message(*text("a").items, *finish(0).items))  # type: ignore[arg-type]

    # when
    items, failure = await grpc_calls.failure()

    # then
    assert said(items) == "a"
    assert failure.kind is FailureClass.STREAM_MALFORMED


async def test_a_provider_that_cannot_be_reached_is_a_server_error(grpc_calls: Calls) -> None:
    # when
    _, failure = await grpc_calls.failure(target=f"127.0.0.1:{free_port()}")

    # then
    assert failure == Failure(FailureClass.SERVER_ERROR)


TOO_LARGE = {
    "C++": "SERVER: Received message larger than max (5 vs. 4)",
    "Go": "grpc: received message larger than max (5 vs. 4)",
    "Java": "gRPC message exceeds maximum size 4: 5",
}


@pytest.mark.parametrize("said_by", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_request_that_the_provider_finds_too_large_is_no_rate_limit(
    grpc_calls: Calls, upstream: GrpcUpstream, said_by: str
) -> None:
    # given
    upstream.answers(Abort(Code.RESOURCE_EXHAUSTED, said_by))

    # when, then
    assert (await grpc_calls.failure())[1].kind is FailureClass.CONTEXT_LENGTH


async def test_a_failure_is_told_again_by_the_next_read(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(message(*text("a").items, *finish(0).items))  # type: ignore[arg-type]

    # when
    kinds = []
    async with grpc_calls.open() as stream:
        await stream.read()
        for _ in range(2):
            with pytest.raises(UpstreamError) as raised:
                await stream.read()
            kinds.append(raised.value.failure.kind)

    # then
    assert kinds == [FailureClass.STREAM_MALFORMED] * 2
