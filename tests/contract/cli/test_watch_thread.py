"""Following a thread over real connections: its runs, restarts, outages and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from runyard.runcontrol.v1.runcontrol_pb2 import Event, RunFinished, TextDelta
from services.cli.base.exits import CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.thread_watch import ThreadWatch, show_thread
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.cli.scripted import PassingClock, served, stream_of

Stream = Sequence[pb.SubscriptionItem | grpc.StatusCode]

AWAY: Stream = [grpc.StatusCode.UNAVAILABLE]
GONE: Stream = [grpc.StatusCode.NOT_FOUND]


def said(number: int, run_id: str) -> pb.SubscriptionItem:
    delta = TextDelta(text=f"word {number}")
    event = Event(run_id=run_id, run_seq=number, thread_seq=number, text_delta=delta)
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


def finished(number: int, run_id: str) -> pb.SubscriptionItem:
    event = Event(run_id=run_id, thread_seq=number, run_finished=RunFinished())
    return pb.SubscriptionItem(cursor=b"c%d" % number, event=event)


class ScriptedRunControl(rpc.RunControlServiceServicer):
    """Answers one prepared stream per subscription and notes where each began."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = list(streams)
        self.cursors: list[bytes] = []

    async def SubscribeThread(
        self, request: pb.SubscribeThreadRequest, context: Any
    ) -> AsyncIterator[pb.SubscribeThreadResponse]:
        self.cursors.append(request.after)
        async for item in stream_of(self._streams.pop(0), context):
            yield pb.SubscribeThreadResponse(items=[item])


@asynccontextmanager
async def watching(*streams: Stream) -> AsyncIterator[tuple[ThreadWatch, ScriptedRunControl]]:
    scripted = ScriptedRunControl(streams)  # type: ignore[abstract]  # no other method is called
    async with (
        served(rpc.add_RunControlServiceServicer_to_server, scripted) as address,
        connected({**DEFAULTS, "runcontrol": address}) as found,
    ):
        yield ThreadWatch(found, "t", clock=PassingClock()), scripted


async def collect(watch: ThreadWatch, seen: list[int]) -> None:
    async for event in watch.events():
        seen += [event.thread_seq]


async def test_a_thread_is_followed_through_outages_behind_the_newest_event() -> None:
    # given a server that drains, is away twice, and then has lost the thread
    told, seen = list[str](), list[int]()
    first, second = [said(1, "a"), said(2, "a")], [said(3, "b")]
    async with watching(first, AWAY, AWAY, second, GONE) as (watch, scripted):
        watch.on_outage = lambda: told.append("away")

        # when the thread is followed
        with pytest.raises(CliError):
            await collect(watch, seen)

    # then every event came once, and each stream began behind the newest
    assert seen == [1, 2, 3]
    assert scripted.cursors == [b"", b"c2", b"c2", b"c2", b"c3"]
    assert told == ["away"]


async def test_a_server_that_was_never_there_is_given_up() -> None:
    async with watching(*[AWAY] * 50) as (watch, scripted):
        with pytest.raises(CliError):
            await anext(watch.events())
    assert 5 < len(scripted.cursors) < 50


async def test_runs_are_named_and_the_cursor_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    # given a thread with two runs, whose server then loses it
    stream = [said(1, "run-a"), finished(2, "run-a"), said(3, "run-b")]
    async with watching(stream, GONE) as (watch, _):
        # when it is shown
        with pytest.raises(CliError):
            await show_thread(watch, Terminal(Output.TEXT))
    out = capsys.readouterr().out

    # then each run has a line, in order, and the end says how to go on
    positions = [out.index(text) for text in ("run-a", "word 1", "run-b", "word 3")]
    assert positions == sorted(positions)
    assert out.count("run-a") == 1
    assert "runyard watch thread t --after YzM=" in out
