"""Streams that end early, stall, or are left: what the server and the client owe each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from services.chassis.calls.channel import open_channel
from services.chassis.calls.streaming import streaming
from tests.contract.chassis_grpc.probe import (
    CHAT,
    COLLECT,
    WATCH,
    Probe,
    ProbeStub,
    Signal,
    Waiting,
    failure,
    probing,
)
from tests.support.waiting import until, within_limit

# More than any window between the two, so that a write has to wait.
BULK = "x" * 64 * 1024


def _calls(caplog: pytest.LogCaptureFixture, method: str) -> list[tuple[int, str]]:
    """Level and code of each logged call of ``method``."""
    return [
        (record.levelno, vars(record)["rpc_code"])
        for record in caplog.records
        if record.message == "call" and vars(record)["rpc_method"] == method
    ]


async def _stalled(count: Any) -> None:
    """Return when ``count()`` has not grown for a while: only time can tell that nothing comes."""
    clock = asyncio.get_running_loop().time
    async with within_limit():
        before, since_s = count(), clock()
        while clock() - since_s < 0.15:
            await asyncio.sleep(0)
            if count() != before:
                before, since_s = count(), clock()


def _endless(ended: Signal) -> Any:
    """A handler that sends until its call ends."""

    async def watch(request: str, context: Any) -> AsyncIterator[str]:
        try:
            while True:
                yield request
                await asyncio.sleep(0)
        finally:
            ended.set()

    return watch


async def test_leaving_a_stream_ends_its_handler_at_once() -> None:
    """Dropping the call does not: not before garbage collection, on some versions never."""
    ended = Signal()
    async with probing(Probe(watch=_endless(ended))) as probe:
        # when a reader breaks out after one message, and keeps the call object alive
        call = probe.stub.watch("x")
        async with streaming(call):
            async for _ in call:
                break

        # then the handler's finally runs
        await ended.wait()
        assert call.cancelled()


async def test_leaving_a_stream_by_an_exception_ends_its_handler_too() -> None:
    waiting = Waiting()
    async with probing(Probe(watch=waiting.watch)) as probe:
        with contextlib.suppress(LookupError):
            async with streaming(probe.stub.watch("x")) as call:
                await call.read()
                raise LookupError

        await waiting.ended.wait()


async def test_leaving_a_finished_stream_changes_nothing() -> None:
    async with probing() as probe, streaming(probe.stub.watch("x")) as call:
        received = [message async for message in call]
    assert received == ["x", "x"]
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("method", [WATCH, CHAT])
async def test_a_handler_blocked_by_a_slow_reader_learns_of_the_cancel_at_once(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself, a generator suspended at ``yield`` hears of it when it is collected."""
    caplog.set_level(logging.DEBUG)
    written = 0
    ended = Signal()
    held: list[Any] = []

    async def generate(request: str, context: Any) -> AsyncIterator[str]:
        nonlocal written
        try:
            while True:
                yield BULK
                written += 1
        finally:
            # A clean-up that has to wait for something is waited for.
            await asyncio.sleep(0)
            ended.set()

    def keeping(request: str, context: Any) -> AsyncIterator[str]:
        messages = generate(request, context)
        held.append(messages)  # so that the collector cannot be what ends it
        return messages

    async def write(requests: AsyncIterator[str], context: Any) -> None:
        nonlocal written
        try:
            while True:
                await context.write(BULK)
                written += 1
        finally:
            ended.set()

    async with probing(Probe(watch=keeping, chat=write)) as probe:
        # given a reader that took one message and stalls
        reading = probe.stub.watch("x") if method == WATCH else probe.stub.chat()
        async with streaming(reading) as call:
            await call.read()
            await _stalled(lambda: written)
            # when it goes away
        # then the handler ends
        await ended.wait()

    # and the blocked write counts as the reader's cancel, not as a fault of ours
    assert _calls(caplog, method) == [(logging.DEBUG, "CANCELLED")]
    assert "unexpected error in a handler" not in caplog.messages


@pytest.mark.parametrize("end", ["a failed batch", "a return"])
async def test_a_handler_whose_peer_left_counts_as_cancelled_however_it_ends(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a write raises depends on timing: a failed batch is the other thing it can be.

    Returning would leak the operation that gRPC has pending for the handler.
    """
    caplog.set_level(logging.DEBUG)
    from grpc._cython import cygrpc  # type: ignore[attr-defined]  # noqa: PLC0415  # private

    started, ended = Signal(), Signal()

    async def watch(request: str, context: Any) -> AsyncIterator[str]:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if end == "a failed batch":
                raise cygrpc.ExecuteBatchError("Failed grpc_call_start_batch") from None
        finally:
            ended.set()
        for message in "":
            yield message

    async with probing(Probe(watch=watch)) as probe:
        async with streaming(probe.stub.watch("x")) as call:
            reading = asyncio.ensure_future(call.read())
            await started.wait()
        await ended.wait()
        await asyncio.gather(reading, return_exceptions=True)

    assert _calls(caplog, WATCH) == [(logging.DEBUG, "CANCELLED")]
    assert "unexpected error in a handler" not in caplog.messages


async def test_cancelling_the_task_of_a_unary_caller_cancels_the_handler() -> None:
    waiting = Waiting()
    async with probing(Probe(unary=waiting.unary)) as probe:
        caller = asyncio.ensure_future(probe.stub.unary("x"))
        await waiting.started.wait()

        caller.cancel()

        await waiting.ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await caller


@pytest.mark.parametrize(("tokens", "least", "most"), [(True, 2, 400), (False, 1_000, 10**9)])
async def test_a_token_channel_bounds_how_far_a_server_runs_ahead(
    tokens: bool, least: int, most: int
) -> None:
    """Many thousand small messages fit into the default window of a stalled reader."""
    written = 0

    async def tokens_of(request: str, context: Any) -> AsyncIterator[str]:
        nonlocal written
        while True:
            yield "x" * 200
            written += 1

    async with probing(Probe(watch=tokens_of)) as probe:
        channel = open_channel(probe.target, tokens=tokens)
        # given a reader that takes one token and stalls
        async with channel, streaming(ProbeStub(channel).watch("x")) as call:
            await call.read()
            await until(lambda: written >= least)
            await _stalled(lambda: written)

    # then the server wrote so many more
    assert least <= written <= most


async def test_handlers_work_for_all_four_arities_and_both_styles() -> None:
    async with probing() as probe:
        stub = probe.stub
        # when each arity is called, the bidirectional one by turns
        one = await stub.unary("a")
        many = [message async for message in stub.watch("b")]
        call = stub.collect()
        await call.write("c")
        await call.write("d")
        await call.done_writing()
        together = await call
        async with streaming(stub.chat()) as chat:
            await chat.write("e")
            first = await chat.read()
            await chat.write("f")
            second = await chat.read()
            await chat.done_writing()
            end = await chat.read()

    # then each answers as it would by itself
    assert (one, many, together) == ("a", ["b", "b"], "cd")
    assert (first, second, end) == ("e", "f", grpc.aio.EOF)  # type: ignore[attr-defined]  # not in the stubs


async def test_leaving_a_bidirectional_stream_ends_both_directions() -> None:
    ended = Signal()

    async def listen(requests: AsyncIterator[str], context: Any) -> AsyncIterator[str]:
        try:
            async for request in requests:
                yield request
        finally:
            ended.set()

    async with probing(Probe(chat=listen)) as probe:
        async with streaming(probe.stub.chat()) as call:
            await call.write("x")
            await call.read()
        await ended.wait()
        assert await call.code() is grpc.StatusCode.CANCELLED


async def _read_all(requests: Any, context: Any, took: Signal) -> None:
    while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]  # not in the stubs
        took.set()


async def _take_all(requests: Any, context: Any, took: Signal) -> None:
    async for _ in requests:
        took.set()


@pytest.mark.parametrize("take", [_take_all, _read_all])
@pytest.mark.parametrize("method", [CHAT, COLLECT])
async def test_a_peer_that_leaves_is_not_one_that_has_said_all(
    method: str, take: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC ends the requests in both cases: a handler would act on half of them, and answer OK."""
    caplog.set_level(logging.DEBUG)
    took, ended, took_all = Signal(), Signal(), Signal()

    async def chat(requests: Any, context: Any) -> None:
        try:
            await take(requests, context, took)
            took_all.set()
        finally:
            ended.set()

    async def collect(requests: Any, context: Any) -> str:
        await chat(requests, context)
        return "all"

    async with probing(Probe(chat=chat, collect=collect)) as probe:
        # given a handler that waits for more
        call = probe.stub.chat() if method == CHAT else probe.stub.collect()
        await call.write("x")
        await took.wait()

        # when the peer leaves
        call.cancel()
        await ended.wait()

    # then the handler did not get beyond its requests
    assert not took_all.is_set()
    assert _calls(caplog, method) == [(logging.DEBUG, "CANCELLED")]


async def test_closing_a_generator_around_a_stream_ends_the_stream() -> None:
    """How adapters consume: an async generator that holds the call inside ``streaming``."""
    ended = Signal()

    async def values(stub: ProbeStub) -> AsyncIterator[str]:
        async with streaming(stub.watch("x")) as call:
            async for message in call:
                yield message

    async with probing(Probe(watch=_endless(ended))) as probe:
        async with aclosing(values(probe.stub)) as received:  # type: ignore[type-var]  # a generator
            assert await anext(received) == "x"
        await ended.wait()


async def test_a_request_above_the_limit_is_refused() -> None:
    async def length(request: str, context: Any) -> str:
        return str(len(request))

    async with probing(Probe(unary=length)) as probe:
        too_large_for_grpc = await failure(probe.stub.unary("x" * 16 * 1024 * 1024))
        too_large = await failure(probe.stub.unary("x" * 65_533))
        fits = await probe.stub.unary("x" * 65_532)
    assert too_large_for_grpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert too_large.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "request: is 65,537 bytes, at most 65,536 are allowed" in str(too_large.details())
    assert fits == "65532"


async def test_a_message_of_a_stream_above_the_limit_is_refused() -> None:
    async with probing(Probe()) as probe:
        error = await failure(probe.stub.collect(iter(["x", "x" * 65_533])))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "request: is 65,537 bytes, at most 65,536 are allowed" in str(error.details())
