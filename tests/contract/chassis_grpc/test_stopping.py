"""The order in which a server stops, and that nothing can hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.chassis.calls.channel import open_channel
from services.chassis.calls.streaming import streaming
from services.chassis.server.server import RunningServer, running
from services.chassis.server.service import Chassis
from tests.contract.chassis_grpc.probe import (
    NAME,
    Probe,
    ProbeSettings,
    ProbeStub,
    Signal,
    Waiting,
    failure,
)
from tests.support.waiting import within_limit

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The grace that no test below may need: whoever waits for it fails by its time-out.
LONG_GRACE_S = 60.0


class Journal:
    """What happened, in order."""

    given: Chassis

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def prepare(self, chassis: Chassis) -> None:
        self.given = chassis
        chassis.stack.callback(self.lines.append, "store closed")
        chassis.stack.callback(self.lines.append, "channel closed")

    async def wait_for_ever(self, begun: Signal, at_the_end: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            # Longer than one turn of the loop, as closing a subscription may be.
            for _ in range(50):
                await asyncio.sleep(0)
            self.lines.append(at_the_end)


async def _started(probe: Probe, grace_s: float = LONG_GRACE_S) -> tuple[Any, RunningServer]:
    """A context of a server that has begun, to end with ``_stop``; and the server."""
    server = running(ProbeSettings(drain_grace_s=grace_s), probe.build)
    return server, await server.__aenter__()


async def _stop(server: Any) -> None:
    """End ``server`` promptly, or fail."""
    async with within_limit():
        await server.__aexit__(None, None, None)


async def _rest(call: Any) -> list[Any]:
    """What was not read yet of a stream that has ended."""
    messages = []
    while (message := await call.read()) != grpc.aio.EOF:  # type: ignore[attr-defined]  # not in the stubs
        messages.append(message)
    return messages


async def test_open_watches_of_every_kind_do_not_hold_up_a_stop() -> None:
    """``Server.stop`` would wait its whole grace for each: also for a health watch."""
    journal = Journal()

    async def watch(request: str, context: Any) -> AsyncIterator[str]:
        try:
            yield "live"
            await journal.given.drain.wait()
            yield "resume after 7"
        finally:
            # Longer than one turn of the loop, as closing a subscription may be.
            for _ in range(50):
                await asyncio.sleep(0)
            journal.lines.append("watch ended")

    server, bound = await _started(Probe(watch=watch, prepare=journal.prepare))
    async with open_channel(bound.target) as channel:
        # given an own watch, a health watch and a reflection stream, all open
        stub = ProbeStub(channel)
        own = stub.watch("x")
        health = stub.health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        reflection_stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
        reflection = reflection_stub.ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services="*"))
        services = await reflection.read()
        assert await own.read() == "live"
        assert (await health.read()).status == SERVING
        assert NAME in {s.name for s in services.list_services_response.service}

        # when the server stops
        await _stop(server)

        # then each stream got its last message and an orderly end
        async with streaming(own), streaming(health), streaming(reflection):
            assert await _rest(own) == ["resume after 7"]
            assert [answer.status for answer in await _rest(health)] == [NOT_SERVING]
            assert await _rest(reflection) == []
            for call in (own, health, reflection):
                assert await call.code() is grpc.StatusCode.OK

    # and what handlers use outlived them
    assert journal.lines == ["watch ended", "channel closed", "store closed"]


async def test_a_running_call_is_finished_within_the_grace_and_a_new_one_is_refused() -> None:
    waiting = Waiting()
    server, bound = await _started(Probe(unary=waiting.unary))
    async with open_channel(bound.target) as channel, open_channel(bound.target) as other:
        # given a call that runs
        call = ProbeStub(channel).unary("x")
        await waiting.started.wait()

        # when the server stops, and another caller comes
        stopping = asyncio.ensure_future(_stop(server))
        # Of those that come as the port closes gRPC may give one to no handler, see the last test.
        refusals = {await _end_of(ProbeStub(other).watch("y", timeout=5.0)) for _ in range(50)}
        waiting.go_on.set()

        # then the running one is answered, and no more are let in
        assert await call == "x"
        assert grpc.StatusCode.UNAVAILABLE in refusals
        await stopping


async def _end_of(stream: Any) -> grpc.StatusCode:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await _rest(stream)
    code: grpc.StatusCode = await stream.code()
    return code


async def test_a_call_that_outlasts_the_grace_is_cut_and_its_finally_is_awaited() -> None:
    journal, started = Journal(), Signal()

    async def endless(request: str, context: Any) -> AsyncIterator[str]:
        await journal.wait_for_ever(started, "handler ended")
        yield request

    server, bound = await _started(Probe(watch=endless, prepare=journal.prepare), grace_s=0.05)
    async with open_channel(bound.target) as channel:
        async with streaming(ProbeStub(channel).watch("x")) as call:
            reading = asyncio.ensure_future(failure(call))
            await started.wait()
            await _stop(server)
            error = await reading
        assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert journal.lines == ["handler ended", "channel closed", "store closed"]


async def test_claimed_work_is_handed_back_after_the_drain_began_and_before_calls_are_cut() -> None:
    journal, running_loop = Journal(), Signal()

    async def hand_back() -> None:
        journal.lines.append(f"handed back, draining: {journal.given.drain.started}")

    server, _ = await _started(Probe(prepare=journal.prepare, hand_back=hand_back))
    journal.given.tasks.start("loop", lambda: journal.wait_for_ever(running_loop, "loop ended"))
    await running_loop.wait()

    await _stop(server)

    assert journal.lines == [
        "handed back, draining: True",
        "loop ended",
        "channel closed",
        "store closed",
    ]


async def test_a_hand_back_that_fails_or_hangs_does_not_stop_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        raise RuntimeError("no database")

    async def hangs() -> None:
        await asyncio.Event().wait()

    for hand_back in (fails, hangs):
        server, _ = await _started(Probe(hand_back=hand_back), grace_s=0.05)
        await _stop(server)

    assert caplog.messages.count("claimed work was not handed back") == 1
    assert caplog.messages.count("claimed work was not handed back in time") == 1


async def test_skip_grace_cuts_every_wait_of_a_drain_short() -> None:
    journal, started, handing_back = Journal(), Signal(), Signal()

    async def endless(request: str, context: Any) -> str:
        await journal.wait_for_ever(started, "handler ended")
        return request

    async def hand_back() -> None:
        handing_back.set()
        await asyncio.Event().wait()

    server, bound = await _started(
        Probe(unary=endless, hand_back=hand_back, prepare=journal.prepare)
    )
    async with open_channel(bound.target) as channel:
        # given a drain that waits for work and for a call, with a minute to go
        call = ProbeStub(channel).unary("x")
        await started.wait()
        stopping = asyncio.ensure_future(_stop(server))
        await handing_back.wait()

        # when its grace is skipped
        bound.skip_grace()

        # then it ends at once, in the same order
        await stopping
        await failure(call)
    assert journal.lines == ["handler ended", "channel closed", "store closed"]


async def test_calls_that_end_in_the_moment_in_which_the_grace_does_end_no_process() -> None:
    """At the end of a grace gRPC cancels the calls of its server, even of one that another ``stop``
    has destroyed: a segmentation fault, in one of some sixty stops.
    """
    for number in range(100):
        await _stop_beside_a_call(grace_s=0.02 + number / 3000)


async def _stop_beside_a_call(grace_s: float) -> None:
    """Stop while a call runs that ends a few turns of the loop after it is cancelled."""
    journal, begun = Journal(), Signal()

    async def endless(request: str, context: Any) -> str:
        await journal.wait_for_ever(begun, "handler ended")
        return request

    server, bound = await _started(Probe(unary=endless), grace_s)
    async with open_channel(bound.target) as channel:
        call = ProbeStub(channel).unary("x")
        await begun.wait()
        await _stop(server)
        await failure(call)


async def test_a_handler_that_refuses_to_end_is_reported_and_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started, release = Signal(), Signal()

    async def stubborn(request: str, context: Any) -> str:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return request

    server, bound = await _started(Probe(unary=stubborn), grace_s=0.05)
    async with open_channel(bound.target) as channel:
        call = ProbeStub(channel).unary("x")
        await started.wait()
        await _stop(server)
        release.set()
        await failure(call)
    assert "handlers outlive the server" in caplog.messages


async def test_a_build_that_fails_closes_what_it_had_opened() -> None:
    journal = Journal()

    async def prepare(chassis: Chassis) -> None:
        await journal.prepare(chassis)
        raise RuntimeError("no schema")

    with pytest.raises(RuntimeError, match="no schema"):
        await _started(Probe(prepare=prepare))
    assert journal.lines == ["channel closed", "store closed"]


async def test_the_drain_is_announced_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server, _ = await _started(Probe(), grace_s=1.5)
    await _stop(server)
    (record,) = (r for r in caplog.records if r.message == "draining")
    assert (vars(record)["live_calls"], vars(record)["grace_s"]) == (0, 1.5)


async def test_a_call_that_arrives_while_the_port_closes_delays_no_stop() -> None:
    """Once in some fifty stops gRPC accepts such a call and gives it to no handler."""
    for _ in range(100):
        server, bound = await _started(Probe())
        async with open_channel(bound.target) as channel:
            # when the server stops while a caller connects
            stopping = asyncio.ensure_future(_stop(server))
            call = _end_of(ProbeStub(channel).watch("x"))

            # then the call ends, and so does the stop
            async with within_limit():
                await call
            await stopping
