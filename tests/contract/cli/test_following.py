"""Following a run over real connections: reconnects, restarts, repeats and losses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1.runcontrol_pb2 import Event, RunFinished, TextDelta
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import (
    add_RunControlServiceServicer_to_server,
)
from services.cli.clients import connected
from services.cli.endpoints import DEFAULTS
from services.cli.exits import CliError
from services.cli.following import Following
from tests.support.clock import ManualClock

Stream = Sequence[pb.SubscriptionItem | grpc.StatusCode]


def said(number: int) -> pb.SubscriptionItem:
    event = Event(run_seq=number, text_delta=TextDelta(text=f"word {number}"))
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


def finished(number: int) -> pb.SubscriptionItem:
    event = Event(run_seq=number, run_finished=RunFinished())
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


def reconnect() -> pb.SubscriptionItem:
    item = pb.SubscriptionItem(cursor=b"ignored")
    item.reconnect.cursor = b"ignored"
    return item


def heartbeat() -> pb.SubscriptionItem:
    item = pb.SubscriptionItem(cursor=b"ignored")
    item.heartbeat.SetInParent()
    return item


class ScriptedRunControl:
    """Answers one prepared stream per subscription and notes where each began."""

    def __init__(self, streams: Sequence[Stream], asked: Callable[[], None]) -> None:
        self._streams = list(streams)
        self._asked = asked
        self.cursors: list[bytes] = []

    def __getattr__(self, method: str) -> Any:
        """Every other method is there for the registration and never called."""

        async def never(request: Any, context: Any) -> Any:
            raise NotImplementedError(method)

        return never

    async def SubscribeRun(
        self, request: pb.SubscribeRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.SubscribeRunResponse]:
        self.cursors.append(request.after)
        self._asked()
        for item in self._streams.pop(0):
            if isinstance(item, grpc.StatusCode):
                await context.abort(item, "scripted")
            yield pb.SubscribeRunResponse(items=[item])


class Steps(ManualClock):
    """Time that passes by itself whenever somebody sleeps."""

    async def sleep(self, delay_s: float) -> None:
        self.advance(delay_s)


@asynccontextmanager
async def following(*streams: Stream) -> AsyncIterator[tuple[Following, ScriptedRunControl]]:
    clock = Steps()
    scripted = ScriptedRunControl(streams, lambda: clock.advance(1.0))
    server = grpc.aio.server()
    add_RunControlServiceServicer_to_server(scripted, server)  # type: ignore[arg-type]  # a scripted one
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connected({**DEFAULTS, "runcontrol": f"127.0.0.1:{port}"}) as found:
            yield Following(found, "run-1", clock=clock, give_up_s=10.0), scripted
    finally:
        await server.stop(None)


async def numbers(run: Following) -> list[int]:
    return [event.run_seq async for event in run.events()]


async def test_a_run_is_followed_to_its_end() -> None:
    async with following([said(1), heartbeat(), said(2), finished(3)]) as (run, scripted):
        assert await numbers(run) == [1, 2, 3]
    assert scripted.cursors == [b""]
    assert run.cursor == b"c3"


async def test_a_draining_server_is_asked_again_behind_the_newest_event() -> None:
    async with following([said(1), said(2), reconnect()], [finished(3)]) as (run, scripted):
        assert await numbers(run) == [1, 2, 3]
    assert scripted.cursors == [b"", b"c2"]
    assert run.reconnects == 1


async def test_a_server_that_died_is_asked_again_until_it_is_back() -> None:
    away: Stream = [grpc.StatusCode.UNAVAILABLE]
    streams: list[Stream] = [[said(1), grpc.StatusCode.UNAVAILABLE], away, away, [finished(2)]]
    told: list[str] = []
    async with following(*streams) as (run, scripted):
        run.told_away = lambda: told.append("away")
        assert await numbers(run) == [1, 2]
    assert scripted.cursors == [b"", b"c1", b"c1", b"c1"]
    assert told == ["away"]


async def test_what_a_server_repeats_is_shown_once() -> None:
    async with following(
        [said(1), said(2), reconnect()], [said(1), said(2), said(3), finished(4)]
    ) as (run, _):
        assert await numbers(run) == [1, 2, 3, 4]


async def test_a_lost_event_is_an_error_and_never_passed_over() -> None:
    async with following([said(1), said(4)]) as (run, _):
        with pytest.raises(CliError, match="events 2 to 3 of run run-1 are missing"):
            await numbers(run)


async def test_a_following_from_a_cursor_may_begin_anywhere() -> None:
    async with following([said(7), finished(8)]) as (run, scripted):
        run.cursor = b"c6"
        assert await numbers(run) == [7, 8]
    assert scripted.cursors == [b"c6"]


@pytest.mark.parametrize(("first", "least_s", "most_s"), [([], 10, 13), ([said(1)], 30, 33)])
async def test_a_server_that_stays_away_is_given_up(
    first: Stream, least_s: float, most_s: float
) -> None:
    """Sooner when it was never there: then it was perhaps never started."""
    away: Stream = [grpc.StatusCode.UNAVAILABLE]
    async with following([*first, *away], *[away] * 50) as (run, _):
        run.give_up_s = 30.0
        with pytest.raises(CliError) as error:
            await numbers(run)
    assert error.value.exit_code == 3
    assert least_s <= run.clock.monotonic_s() - 1.0 <= most_s


async def test_a_refusal_is_told_at_once() -> None:
    async with following([grpc.StatusCode.NOT_FOUND]) as (run, scripted):
        with pytest.raises(CliError) as error:
            await numbers(run)
    assert error.value.exit_code == 1
    assert error.value.message == "scripted"
    assert len(scripted.cursors) == 1
