"""The order in which a server stops, and that nothing can hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.chassis.channel import open_channel, streaming
from services.chassis.server import Chassis, RunningServer, running
from tests.contract.chassis_grpc.probe import (
    NAME,
    Context,
    Probe,
    ProbeSettings,
    ProbeStub,
    Signal,
    failure,
    stream_failure,
    text,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The grace that no test below may need: whoever waits for it fails by its time-out.
LONG_GRACE_S = 60.0


class Journal:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.chassis: Chassis | None = None

    async def prepare(self, chassis: Chassis) -> None:
        self.chassis = chassis
        chassis.stack.callback(self.lines.append, "store closed")
        chassis.stack.callback(self.lines.append, "channel closed")

    @property
    def given(self) -> Chassis:
        assert self.chassis is not None
        return self.chassis


def _running(probe: Probe, grace_s: float = LONG_GRACE_S) -> Any:
    return running(ProbeSettings(drain_grace_s=grace_s), probe.build)


async def _stop(server: Any) -> None:
    """End ``server`` promptly, or fail."""
    async with asyncio.timeout(5):
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

    async def watch(request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        try:
            yield text("live")
            await journal.given.drain.wait()
            yield text("resume after 7")
        finally:
            # Longer than one turn of the loop, as closing a subscription may be.
            for _ in range(50):
                await asyncio.sleep(0)
            journal.lines.append("watch ended")

    server = _running(Probe(watch=watch, prepare=journal.prepare))
    bound: RunningServer = await server.__aenter__()
    async with open_channel(bound.target) as channel:
        # given an own watch, a health watch and a reflection stream, all open
        own = ProbeStub(channel).watch(text("x"))
        health_stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        health = health_stub.Watch(health_pb2.HealthCheckRequest(service=NAME))
        reflection_stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
        reflection = reflection_stub.ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services="*"))
        services = await reflection.read()
        assert (await own.read()).value == "live"
        assert (await health.read()).status == SERVING
        assert NAME in {s.name for s in services.list_services_response.service}

        # when the server stops
        await _stop(server)

        # then each stream got its last word and an orderly end
        async with streaming(own), streaming(health), streaming(reflection):
            assert [message.value for message in await _rest(own)] == ["resume after 7"]
            assert [answer.status for answer in await _rest(health)] == [NOT_SERVING]
            assert await _rest(reflection) == []
            for call in (own, health, reflection):
                assert await call.code() is grpc.StatusCode.OK

    # and what handlers use outlived them
    assert journal.lines == ["watch ended", "channel closed", "store closed"]


async def test_a_running_call_is_finished_within_the_grace_and_a_new_one_is_refused() -> None:
    started, finish = Signal(), Signal()

    async def slow(request: StringValue, context: Context) -> StringValue:
        started.set()
        await finish.wait()
        return request

    server = _running(Probe(unary=slow))
    bound: RunningServer = await server.__aenter__()
    async with open_channel(bound.target) as channel, open_channel(bound.target) as other:
        # given a call that runs
        call = ProbeStub(channel).unary(text("x"))
        await started.wait()

        # when the server stops, and another caller comes
        stopping = asyncio.ensure_future(_stop(server))
        refusals = {await _end_of(ProbeStub(other).watch(text("y"))) for _ in range(50)}
        finish.set()

        # then the running one is answered, and no more are let in
        assert (await call).value == "x"
        assert grpc.StatusCode.UNAVAILABLE in refusals
        await stopping


async def _end_of(stream: Any) -> grpc.StatusCode:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await _rest(stream)
    code: grpc.StatusCode = await stream.code()
    return code


async def test_a_call_that_outlasts_the_grace_is_cut_and_its_finally_is_awaited() -> None:
    journal, started = Journal(), Signal()

    async def endless(request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        started.set()
        try:
            await asyncio.Event().wait()
            yield request
        finally:
            for _ in range(50):
                await asyncio.sleep(0)
            journal.lines.append("handler ended")

    server = _running(Probe(watch=endless, prepare=journal.prepare), grace_s=0.05)
    bound: RunningServer = await server.__aenter__()
    async with open_channel(bound.target) as channel:
        async with streaming(ProbeStub(channel).watch(text("x"))) as call:
            reading = asyncio.ensure_future(stream_failure(call))
            await started.wait()
            await _stop(server)
            error = await reading
        assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert journal.lines == ["handler ended", "channel closed", "store closed"]


async def test_claimed_work_is_handed_back_after_the_drain_began_and_before_calls_are_cut() -> None:
    journal = Journal()

    async def hand_back() -> None:
        journal.lines.append(f"handed back, draining: {journal.given.drain.started}")

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            journal.lines.append("loop ended")

    server = _running(Probe(prepare=journal.prepare, hand_back=hand_back))
    await server.__aenter__()
    running_loop = Signal()

    async def marked() -> None:
        running_loop.set()
        await loop()

    journal.given.tasks.start("loop", marked)
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
        server = _running(Probe(hand_back=hand_back), grace_s=0.05)
        await server.__aenter__()
        await _stop(server)

    assert caplog.messages.count("claimed work was not handed back") == 1
    assert caplog.messages.count("claimed work was not handed back in time") == 1


async def test_hurry_cuts_every_wait_of_a_drain_short() -> None:
    journal, started, handing_back = Journal(), Signal(), Signal()

    async def endless(request: StringValue, context: Context) -> StringValue:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            journal.lines.append("handler ended")
        return request

    async def hand_back() -> None:
        handing_back.set()
        await asyncio.Event().wait()

    server = _running(Probe(unary=endless, hand_back=hand_back, prepare=journal.prepare))
    bound: RunningServer = await server.__aenter__()
    async with open_channel(bound.target) as channel:
        # given a drain that waits for work and for a call, with a minute to go
        call = ProbeStub(channel).unary(text("x"))
        await started.wait()
        stopping = asyncio.ensure_future(_stop(server))
        await handing_back.wait()

        # when it is hurried
        bound.hurry()

        # then it ends at once, in the same order
        await stopping
        await failure(call)
    assert journal.lines == ["handler ended", "channel closed", "store closed"]


async def test_a_handler_that_refuses_to_end_is_reported_and_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started, release = Signal(), Signal()

    async def stubborn(request: StringValue, context: Context) -> StringValue:
        started.set()
        while not release.happened:
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return request

    server = _running(Probe(unary=stubborn), grace_s=0.05)
    bound: RunningServer = await server.__aenter__()
    async with open_channel(bound.target) as channel:
        call = ProbeStub(channel).unary(text("x"))
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

    server = _running(Probe(prepare=prepare))
    with pytest.raises(RuntimeError, match="no schema"):
        await server.__aenter__()
    assert journal.lines == ["channel closed", "store closed"]


async def test_the_drain_is_announced_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = _running(Probe(), grace_s=1.5)
    await server.__aenter__()
    await _stop(server)
    (record,) = (r for r in caplog.records if r.message == "draining")
    assert (vars(record)["live_calls"], vars(record)["grace_s"]) == (0, 1.5)


async def test_a_call_that_arrives_while_the_port_closes_holds_nobody_up() -> None:
    """Once in some fifty stops gRPC accepts such a call and gives it to no handler."""
    for _ in range(100):
        server = _running(Probe())
        bound: RunningServer = await server.__aenter__()
        async with open_channel(bound.target) as channel:
            # when the server stops while a caller connects
            stopping = asyncio.ensure_future(_stop(server))
            call = _end_of(ProbeStub(channel).watch(text("x")))

            # then the call ends, and so does the stop
            async with asyncio.timeout(5):
                await call
            await stopping
