"""How handlers fail, as a client sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.errors import (
    DomainError,
    ErrorKind,
    InvalidRequestError,
    Retry,
    StoreUnavailableError,
    Violation,
)
from tests.contract.chassis_grpc.probe import (
    DOMAIN,
    NAME,
    Probe,
    ProbeStub,
    echo_all,
    failure,
    probing,
    raising,
    requests,
)
from tests.support.waiting import within_limit


class ThreadBusyError(DomainError):
    kind = ErrorKind.PRECONDITION
    reason = "THREAD_BUSY"
    retry = Retry.RETRYABLE


def failing(error: Exception) -> Probe:
    """A probe whose methods all raise ``error``, streams after their first message."""

    async def stream(request: object, context: object) -> AsyncIterator[str]:
        yield "first"
        raise error

    return Probe(raising(error), stream, raising(error), stream)


REFUSING = failing(ThreadBusyError("thread t-1 has a run", thread_id="t-1"))


async def _failures(stub: ProbeStub) -> list[grpc.aio.AioRpcError]:
    return [
        await failure(stub.unary("x")),
        await failure(stub.watch("x")),
        await failure(stub.collect(requests("x"))),
        await failure(stub.chat(requests("x"))),
    ]


async def test_a_domain_error_reaches_callers_of_every_arity_with_its_facts() -> None:
    # given handlers that refuse with a domain error, streams after their first message
    async with probing(REFUSING) as probe:
        # when each is called
        found = [reason_of(error) for error in await _failures(probe.stub)]

    # then each caller reads the same facts
    expected = ErrorFacts(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason="THREAD_BUSY",
        domain=DOMAIN,
        metadata={"thread_id": "t-1", "retry": "retryable"},
        retry_after_s=None,
        violations=(),
        message="thread t-1 has a run",
    )
    assert [expected] * 4 == found


async def test_every_violation_and_the_time_of_a_repeat_reach_the_caller() -> None:
    # given a handler that finds two things wrong, and one that is overloaded
    violations = [Violation("b.name", "must not be empty"), Violation("a[1]", "unknown", "no_a")]

    invalid = raising(InvalidRequestError.of(violations))
    overloaded = raising(StoreUnavailableError("the store is busy", retry_after_s=1.5))
    async with probing(Probe(unary=invalid, collect=overloaded)) as probe:
        # when they are called
        malformed = reason_of(await failure(probe.stub.unary("x")))
        busy = reason_of(await failure(probe.stub.collect(requests())))

    # then all violations are there, and the time
    assert malformed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert malformed.violations == (violations[1], violations[0])
    assert malformed.metadata["count"] == "2"
    assert busy.code is grpc.StatusCode.UNAVAILABLE
    assert busy.retry_after_s == 1.5


async def test_every_domain_error_forbids_the_channel_to_repeat_the_call() -> None:
    async with probing(REFUSING) as probe:
        errors = await _failures(probe.stub)

    for error in errors:
        assert ("grpc-retry-pushback-ms", "-1") in list(error.trailing_metadata())


@pytest.mark.parametrize("attempt", range(5))
async def test_the_largest_error_still_arrives(attempt: int) -> None:
    """Clients refuse trailers above their limit, at random between the soft and the hard one."""
    # given a thousand violations, and facts and a message that are long and not ASCII
    violations = [Violation(f"items[{n}]", "must not be empty " * 100) for n in range(1_000)]
    invalid = InvalidRequestError(
        "é%" * 2_000, violations=violations, id="🦊" * 128, big="x" * 9_000
    )
    async with probing(Probe(unary=raising(invalid))) as probe:
        # when the caller gets them
        error = await failure(probe.stub.unary("x"))
        facts = reason_of(error)

    # then it has as many as fit, and the number of the rest
    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert facts.reason == "INVALID_REQUEST"
    assert facts.metadata["id"] == "🦊" * 128
    assert facts.metadata["metadata_omitted"] == "1"
    assert len(facts.violations) + int(facts.metadata["violations_omitted"]) == 1_000
    assert len(facts.violations) >= 3
    assert facts.message.endswith("...")
    assert sum(len(key) + _wire_bytes(value) + 32 for key, value in _trailers(error)) < 8_192


def _trailers(error: grpc.aio.AioRpcError) -> list[tuple[str, Any]]:
    escaped = "".join(
        c if " " <= c <= "~" else "%%%" * len(c.encode()) for c in error.details() or ""
    )
    return [*error.trailing_metadata(), ("grpc-message", escaped)]


def _wire_bytes(value: str | bytes) -> int:
    return len(value) if isinstance(value, str) else (len(value) + 2) // 3 * 4


async def test_an_unexpected_exception_leaks_nothing_but_an_id_to_look_it_up_by(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given handlers of all arities that fail with a secret in the text
    async with probing(failing(RuntimeError("password=hunter2"))) as probe:
        # when they are called
        errors = await _failures(probe.stub)

    # then the status says nothing, and its id leads to the exception in the log
    logged = [r for r in caplog.records if r.message == "unexpected error in a handler"]
    assert len(errors) == len(logged) == 4
    for error, record in zip(errors, logged, strict=True):
        facts = reason_of(error)
        assert facts.code is grpc.StatusCode.INTERNAL
        assert facts.reason == "INTERNAL"
        assert facts.domain == DOMAIN
        assert "hunter2" not in f"{error}{error.trailing_metadata()}"
        assert facts.metadata["error_id"] == vars(record)["error_id"]
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert "hunter2" in str(record.exc_info[1])


async def test_a_failed_outbound_call_is_our_fault_and_not_the_callers() -> None:
    """Its code and text are about somebody else's call."""
    # given a handler that lets the error of a call it made pass
    async with probing(REFUSING) as backend:

        async def relay(request: str, context: object) -> Any:
            return await backend.stub.unary(request)

        async with probing(Probe(unary=relay)) as frontend:
            # when it is called
            facts = reason_of(await failure(frontend.stub.unary("x")))

    # then the caller learns of an internal error, not of a thread it never named
    assert facts.code is grpc.StatusCode.INTERNAL
    assert "t-1" not in facts.message


async def test_a_domain_error_out_of_a_task_group_stays_a_domain_error() -> None:
    async def grouped(request: str, context: object) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(REFUSING.unary(request, context))
        return request

    async with probing(Probe(unary=grouped)) as probe:
        facts = reason_of(await failure(probe.stub.unary("x")))

    assert facts.reason == "THREAD_BUSY"


async def test_a_cancelled_future_inside_a_handler_ends_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Left alone, gRPC takes it for the caller's cancel and never answers."""

    # given a handler that awaits something which somebody else cancels
    async def cancelled(request: object, context: object) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    # when it is called without a deadline
    async with probing(Probe(unary=cancelled)) as probe, within_limit():
        error = await failure(probe.stub.unary("x"))

    # then the caller gets an answer
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "unexpected error in a handler" in caplog.messages


async def test_a_handler_may_end_its_call_by_itself() -> None:
    """Foreign servicers, as that of reflection, know nothing of domain errors."""

    async def abort(request: object, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    async with probing(Probe(unary=abort)) as probe:
        error = await failure(probe.stub.unary("x"))

    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "nothing here")


async def test_an_unknown_method_is_refused_with_facts_whatever_its_arity() -> None:
    async with probing() as probe:
        unary: Any = probe.channel.unary_unary(f"/{NAME}/Nothing")
        stream: Any = probe.channel.stream_stream("/no.such.Service/Method")
        found = [reason_of(await failure(unary(b"x"))), reason_of(await failure(stream()))]

    for facts in found:
        assert facts.code is grpc.StatusCode.UNIMPLEMENTED
        assert facts.reason == "UNIMPLEMENTED"
        assert facts.domain == DOMAIN


async def test_a_status_without_details_is_readable_too() -> None:
    # given an address where nobody listens
    async with probing() as probe:
        port = probe.port
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        # when it is called
        facts = reason_of(await failure(ProbeStub(channel).unary("x")))

    # then there is a code and no reason
    assert facts.code is grpc.StatusCode.UNAVAILABLE
    assert (facts.reason, facts.domain, facts.metadata) == ("", "", {})


async def _read_one(requests: object, context: Any) -> None:
    await context.read()


@pytest.mark.parametrize(
    ("method", "chat"),
    [
        ("unary_unary:Unary", echo_all),
        ("unary_stream:Watch", echo_all),
        ("stream_unary:Collect", echo_all),
        ("stream_stream:Chat", echo_all),
        ("stream_stream:Chat", _read_one),
    ],
)
async def test_bytes_that_are_no_request_are_the_callers_mistake(
    method: str, chat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # given text that is not UTF-8, as clients in some languages let it pass
    broken = b"\n\x02\xff\xfe"
    arity, name = method.split(":")
    async with probing(Probe(chat=chat)) as probe:
        # when it is sent
        start: Any = getattr(probe.channel, arity)(f"/{NAME}/{name}", bytes, bytes)
        failed = await failure(start(iter([broken]) if arity.startswith("stream") else broken))

    # then the answer says so, and the log holds no defect
    facts = reason_of(failed)
    assert (facts.code, facts.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [violation.field for violation in facts.violations] == ["request"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
