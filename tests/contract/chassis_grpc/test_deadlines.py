"""How long calls may run, and what of it travels to the next hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.calls.call import current_call, find_call
from services.chassis.calls.channel import open_channel
from services.chassis.calls.outbound import budget_s
from services.chassis.calls.rpc_status import reason_of
from services.chassis.calls.streaming import streaming
from tests.contract.chassis_grpc.probe import Probe, ProbeStub, Waiting, failure, probing, requests
from tests.support.waiting import within_limit


async def _deadline(request: str, context: Any) -> str:
    """Answer the whole seconds left, as the handler and as gRPC see them."""
    left_s, sent_s = current_call().deadline_s_left(), context.time_remaining()
    return " ".join("none" if s is None else f"{s:.0f}" for s in (left_s, sent_s))


@pytest.mark.parametrize(
    ("cap_s", "sent_s", "expected"),
    [
        (None, None, "none none"),
        (None, 30.0, "30 30"),
        (20.0, None, "20 none"),
        (20.0, 30.0, "20 30"),
        (20.0, 10.0, "10 10"),
    ],
)
async def test_a_call_may_run_for_the_shorter_of_deadline_and_cap(
    cap_s: float | None, sent_s: float | None, expected: str
) -> None:
    async with probing(Probe(unary=_deadline, row=MethodPolicy(ANY_ROLE, cap_s))) as probe:
        answer = await probe.stub.unary("x", timeout=sent_s)
    assert answer == expected


@pytest.mark.parametrize("sent_s", [None, 60.0])
async def test_a_call_is_interrupted_at_its_cap(sent_s: float | None) -> None:
    # given methods capped at 50 ms whose handlers wait for ever
    waiting, row = Waiting(), MethodPolicy(ANY_ROLE, deadline_cap_s=0.05)
    async with probing(Probe(waiting.unary, waiting.watch, row=row)) as probe:
        # when they are called with more time than that
        errors = [
            await failure(probe.stub.unary("x", timeout=sent_s)),
            await failure(probe.stub.watch("x", timeout=sent_s)),
        ]

    # then the callers are told so, with facts
    for error in errors:
        facts = reason_of(error)
        assert facts.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert facts.reason == "DEADLINE_EXCEEDED"
        assert facts.metadata["cap_s"] == "0.05"


async def test_a_time_out_inside_a_handler_is_not_taken_for_the_cap() -> None:
    async def times_out(request: str, context: Any) -> str:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
        return request

    row = MethodPolicy(ANY_ROLE, deadline_cap_s=30.0)
    async with probing(Probe(unary=times_out, row=row)) as probe:
        error = await failure(probe.stub.unary("x"))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_the_callers_deadline_interrupts_the_handler() -> None:
    waiting = Waiting()
    async with probing(Probe(unary=waiting.unary)) as probe:
        timeout_s = 0.05
        while not waiting.started.is_set():  # a busy machine may not get there before the deadline
            error = await failure(probe.stub.unary("x", timeout=timeout_s))
            timeout_s *= 2
        await waiting.ended.wait()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("own_s", "left_s", "expected_s"),
    [
        (None, None, None),
        (5.0, None, 5.0),
        (None, 2.0, 1.98),
        (5.0, 2.0, 1.98),
        (1.0, 2.0, 1.0),
        (None, 0.0, 0.001),
    ],
)
def test_an_outbound_call_gets_what_is_left_less_a_margin(
    own_s: float | None, left_s: float | None, expected_s: float | None
) -> None:
    assert budget_s(own_s, left_s) == expected_s


async def test_outbound_calls_of_every_arity_carry_the_deadline_of_their_caller() -> None:
    """gRPC itself passes nothing on: the next hop would work for a caller that is gone."""

    # given a backend that answers its deadline, and a frontend that calls it in every way
    async def deadline_stream(request: Any, context: Any) -> AsyncIterator[str]:
        yield await _deadline(request, context)

    answers = Probe(_deadline, deadline_stream, _deadline, deadline_stream)
    async with probing(answers) as backend:
        stub = backend.stub

        async def relay(request: str, context: Any) -> str:
            async with streaming(stub.watch(request)) as watch:
                watched = await watch.read()
            async with streaming(stub.chat()) as chat:
                chatted = await chat.read()
            plain, collected = await stub.unary(request), await stub.collect(requests())
            return ",".join([plain, watched, collected, chatted])

        async with probing(Probe(unary=relay)) as frontend:
            # when the frontend is called with 30 s
            answer = await frontend.stub.unary("x", timeout=30.0)

    # then each hop has no more than that
    assert answer == "30 30,30 30,30 30,30 30"


async def test_a_loop_that_a_handler_starts_inherits_neither_its_deadline_nor_its_call() -> None:
    """It outlives the call."""
    answered: asyncio.Future[tuple[object, str]] = asyncio.get_running_loop().create_future()
    async with probing(Probe(unary=_deadline)) as backend:

        async def loop() -> None:
            async with open_channel(backend.target) as channel:
                answered.set_result((find_call(), await ProbeStub(channel).unary("x")))

        async def start(request: str, context: Any) -> str:
            frontend.chassis.tasks.start("loop", loop)
            return request

        async with probing(Probe(unary=start)) as frontend:
            await frontend.stub.unary("x", timeout=30.0)
            async with within_limit():
                assert await answered == (None, "none none")
