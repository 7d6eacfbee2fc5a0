"""A consumer of a registry that says strange things: it starts again and shows none of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import (
    RegistryServiceServicer,
    add_RegistryServiceServicer_to_server,
)
from runyard.types.v1.stream_pb2 import Heartbeat
from services.chassis.channel import open_channel
from services.chassis.drain import Drain
from services.wire.snapshot import SnapshotConsumer
from tests.support.clock import ManualClock
from tests.support.kept import MemoryKept
from tests.support.registry_resources import provider
from tests.support.tasks import running
from tests.support.turns import until

Frame = service_pb.WatchSnapshotResponse


def frame(from_version: int, to_version: int, name: str, **fields: object) -> Frame:
    values: dict[str, object] = {"incarnation": "i", "last_part": True, **fields}
    item = service_pb.SnapshotItem(upserted=provider(name))
    return Frame(from_version=from_version, to_version=to_version, items=[item], **values)


class Script(RegistryServiceServicer):
    """Answers each watch with the next list of frames, and the last one for ever."""

    def __init__(self, *answers: list[Frame]) -> None:
        self._answers = list(answers)
        self.asked: list[int] = []
        self.lineages: list[str] = []

    async def WatchSnapshot(
        self, request: service_pb.WatchSnapshotRequest, context: Any
    ) -> AsyncIterator[Frame]:
        self.asked.append(request.after_version)
        self.lineages.append(request.lineage)
        for each in self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]:
            yield each


@asynccontextmanager
async def serving_script(
    script: Script, kept: MemoryKept | None = None
) -> AsyncIterator[tuple[SnapshotConsumer[list[str]], MemoryKept, Callable[[], None]]]:
    """A consumer of ``script`` that does not run yet, its copy and what turns its clock."""
    server = grpc.aio.server()
    add_RegistryServiceServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    clock, kept = ManualClock(), kept or MemoryKept()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        consumer = SnapshotConsumer(
            channel,
            kept,
            lambda resources, _version, _incarnation: sorted(id_ for _, id_ in resources),
            clock,
            Drain(),
        )
        yield consumer, kept, lambda: clock.advance(0.5)
    await server.stop(None)


@asynccontextmanager
async def consuming(script: Script) -> AsyncIterator[tuple[SnapshotConsumer[list[str]], Any]]:
    """A consumer of ``script`` and what turns its clock."""
    async with serving_script(script) as (consumer, _, tick), running(consumer.run()):
        yield consumer, tick


@asynccontextmanager
async def consuming_copy(
    script: Script, kept: MemoryKept
) -> AsyncIterator[tuple[SnapshotConsumer[list[str]], Any]]:
    """As ``consuming``, of a consumer that starts with a copy."""
    async with serving_script(script, kept) as (consumer, _, tick), running(consumer.run()):
        yield consumer, tick


WHOLE = [frame(0, 5, "a", last_part=False), frame(0, 5, "b", part=1)]


@pytest.mark.parametrize(
    "broken",
    [
        [frame(0, 9, "x", part=1)],  # begins in the middle
        [frame(0, 9, "x", last_part=False), frame(0, 9, "y", part=2)],  # a part is missing
        [frame(0, 9, "x", last_part=False)],  # ends before the last part
        [frame(4, 9, "x")],  # a change from what the consumer never had
        [],
    ],
)
async def test_what_does_not_fit_is_not_shown(broken: list[Frame]) -> None:
    # given an answer that is broken, then a sound one
    script = Script(broken, WHOLE, [])

    # when
    async with consuming(script) as (consumer, tick):
        await until(lambda: consumer.current is not None, tick)

        # then the first thing ever seen is the sound one
        assert consumer.current == ["a", "b"]
        assert (consumer.version, consumer.incarnation) == (5, "i")
        assert script.asked[:2] == [0, 0]


async def test_a_change_that_is_interrupted_is_forgotten() -> None:
    # given a change whose first part is followed by the whole snapshot
    begun = frame(0, 4, "x", last_part=False)
    script = Script([begun, *WHOLE, frame(5, 6, "c")], [])

    # when
    async with consuming(script) as (consumer, tick):
        await until(lambda: consumer.version == 6 or len(script.asked) > 1, tick)

        # then one watch brought everything, and nothing of what was interrupted
        assert consumer.current == ["a", "b", "c"]


async def test_a_lineage_goes_back_with_its_version() -> None:
    # given a snapshot with a lineage
    whole = [frame(0, 5, "a", lineage="l5")]
    script = Script(whole, [frame(5, 6, "b", lineage="l6")], [])

    # when the watch ends, twice
    async with serving_script(script) as (consumer, kept, tick), running(consumer.run()):
        await until(lambda: len(script.asked) > 2, tick)
        # and another consumer starts with the copy
        async with consuming_copy(script, kept) as (other, tick_other):
            asked = len(script.asked)
            await until(lambda: len(script.asked) > asked, tick_other)
            incarnation = other.incarnation

    # then
    assert script.asked[:3] == [0, 5, 6]
    assert script.lineages[:3] == ["", "l5", "l6"]
    assert set(script.lineages[3:]) == {"l6"}
    assert incarnation == "i"


async def test_a_heartbeat_is_no_part_of_a_change() -> None:
    # given heartbeats before, within and after a snapshot of two parts
    beat = Frame(incarnation="i", heartbeat=Heartbeat())
    script = Script([beat, WHOLE[0], beat, WHOLE[1], beat, frame(5, 6, "c")], [])

    # when
    async with consuming(script) as (consumer, tick):
        await until(lambda: consumer.version == 6 or len(script.asked) > 1, tick)

        # then one watch brought everything
        assert consumer.current == ["a", "b", "c"]
        assert script.asked[0] == 0


async def test_a_change_of_another_incarnation_is_not_built_on() -> None:
    # given a snapshot, then a change that pretends to follow it
    script = Script(WHOLE, [frame(5, 6, "c", incarnation="j")], [frame(5, 7, "d")])

    # when
    async with consuming(script) as (consumer, tick):
        await until(lambda: consumer.version == 7, tick)

        # then
        assert consumer.current == ["a", "b", "d"]
        assert script.asked[:3] == [0, 5, 5]


async def test_a_copy_is_loaded_once() -> None:
    script = Script([])
    async with consuming(script) as (consumer, _):
        await consumer.load()
        await consumer.load()

        assert consumer.current is None
        assert (consumer.version, consumer.incarnation) == (0, "")


async def test_a_copy_that_missed_a_change_is_made_anew() -> None:
    # given a whole snapshot that is kept, and a change whose saving breaks the loop
    script = Script(WHOLE, [frame(5, 6, "c")], [frame(6, 7, "d")])
    async with serving_script(script) as (consumer, kept, tick):
        following = asyncio.ensure_future(consumer.run())
        await until(lambda: kept.kept is not None, tick)
        kept.broken = True
        await until(following.done, tick)
        assert isinstance(following.exception(), ValueError)

        # when the loop runs again and the next change arrives
        async with running(consumer.run()):
            await until(lambda: consumer.version == 7, tick)
            await until(lambda: kept.kept is not None and kept.kept.version == 7, tick)

    # then the copy has what it had missed
    assert kept.kept is not None
    assert sorted(id_ for _, id_ in kept.kept.resources) == ["a", "b", "c", "d"]
