"""Following a run over real connections: reconnects, restarts, repeats and losses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from runyard.runcontrol.v1.runcontrol_pb2 import (
    TERMINATION_REASON_MAX_ROUNDS,
    TERMINATION_REASON_NATURAL_END,
    TERMINATION_REASON_TOKEN_BUDGET,
    Event,
    RunFinished,
    TerminationReason,
    TextDelta,
)
from services.cli.base.exits import CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.following import Following
from services.cli.runs.show import show
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.cli.scripted import PassingClock, served, stream_of

Stream = Sequence[pb.SubscriptionItem | grpc.StatusCode]


def said(number: int) -> pb.SubscriptionItem:
    event = Event(run_seq=number, text_delta=TextDelta(text=f"word {number}"))
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


def finished(number: int) -> pb.SubscriptionItem:
    event = Event(run_seq=number, run_finished=RunFinished())
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


RECONNECT = pb.SubscriptionItem(cursor=b"ignored", reconnect={"cursor": b"ignored"})
HEARTBEAT = pb.SubscriptionItem(cursor=b"ignored", heartbeat={})
AWAY: Stream = [grpc.StatusCode.UNAVAILABLE]


class ScriptedRunControl(rpc.RunControlServiceServicer):
    """Answers one prepared stream per subscription and notes where each began."""

    def __init__(self, streams: Sequence[Stream], asked: Callable[[], None]) -> None:
        self._streams = list(streams)
        self._asked = asked
        self.cursors: list[bytes] = []

    async def SubscribeRun(
        self, request: pb.SubscribeRunRequest, context: Any
    ) -> AsyncIterator[pb.SubscribeRunResponse]:
        self.cursors.append(request.after)
        self._asked()
        async for item in stream_of(self._streams.pop(0), context):
            yield pb.SubscribeRunResponse(items=[item])


@asynccontextmanager
async def following(*streams: Stream) -> AsyncIterator[tuple[Following, ScriptedRunControl]]:
    clock = PassingClock()
    scripted = ScriptedRunControl(streams, lambda: clock.advance(1.0))  # type: ignore[abstract]  # no other method is called
    async with (
        served(rpc.add_RunControlServiceServicer_to_server, scripted) as address,
        connected({**DEFAULTS, "runcontrol": address}) as found,
    ):
        yield Following(found, "run-1", clock=clock, give_up_s=10.0), scripted


async def numbers(run: Following) -> list[int]:
    return [event.run_seq async for event in run.events()]


async def test_a_run_is_followed_to_its_end() -> None:
    async with following([said(1), HEARTBEAT, said(2), finished(3)]) as (run, scripted):
        assert await numbers(run) == [1, 2, 3]
    assert scripted.cursors == [b""]
    assert run.cursor == b"c3"


async def test_a_draining_server_is_asked_again_behind_the_newest_event() -> None:
    async with following([said(1), said(2), RECONNECT], [finished(3)]) as (run, scripted):
        assert await numbers(run) == [1, 2, 3]
    assert scripted.cursors == [b"", b"c2"]
    assert run.reconnects == 1


async def test_a_server_that_died_is_asked_again_until_it_is_back() -> None:
    told: list[str] = []
    async with following([said(1), *AWAY], AWAY, AWAY, [finished(2)]) as (run, scripted):
        run.on_outage = lambda: told.append("away")
        assert await numbers(run) == [1, 2]
    assert scripted.cursors == [b"", b"c1", b"c1", b"c1"]
    assert told == ["away"]


async def test_what_a_server_repeats_is_shown_once() -> None:
    again = [said(1), said(2), said(3), finished(4)]
    async with following([said(1), said(2), RECONNECT], again) as (run, _):
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
    async with following([*first, *AWAY], *[AWAY] * 50) as (run, _):
        run.give_up_s = 30.0
        with pytest.raises(CliError) as error:
            await numbers(run)
    assert error.value.exit_code == 3
    assert least_s <= run.clock.monotonic_s() - 1.0 <= most_s


@pytest.mark.parametrize("reason", TerminationReason.values()[1:], ids=TerminationReason.Name)
async def test_a_run_that_does_not_complete_fails_the_command(
    reason: TerminationReason.ValueType,
) -> None:
    # given a run with one of the ends that the contract knows
    end = finished(2)
    end.event.run_finished.termination.reason = reason

    # when it is shown
    exit_code = 0
    async with following([said(1), end]) as (run, _):
        try:
            await show(run, Terminal(Output.JSON))
        except CliError as error:
            exit_code = error.exit_code

    # then the command fails unless there is an answer
    completed = {
        TERMINATION_REASON_NATURAL_END,
        TERMINATION_REASON_MAX_ROUNDS,
        TERMINATION_REASON_TOKEN_BUDGET,
    }
    assert exit_code == (0 if reason in completed else 1)


async def test_a_refusal_is_raised_at_once() -> None:
    async with following([grpc.StatusCode.NOT_FOUND]) as (run, scripted):
        with pytest.raises(CliError) as error:
            await numbers(run)
    assert error.value.exit_code == 1
    assert error.value.message == "scripted"
    assert len(scripted.cursors) == 1
