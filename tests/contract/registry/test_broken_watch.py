"""A consumer of a registry that says strange things: it starts again and shows none of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
from tests.contract.registry.test_consumer import Consumer, consuming
from tests.support.background import running
from tests.support.memory_kept_snapshot import MemoryKept
from tests.support.registry_resources import provider
from tests.support.waiting import until

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
async def serving_script(script: Script) -> AsyncIterator[str]:
    """The address at which ``script`` answers."""
    server = grpc.aio.server()
    add_RegistryServiceServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@asynccontextmanager
async def consuming_script(
    script: Script, kept: MemoryKept | None = None
) -> AsyncIterator[Consumer]:
    async with serving_script(script) as target, consuming(target, kept) as consumer:
        yield consumer


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
    async with consuming_script(script) as consumer:
        await until(lambda: consumer.wire.current is not None, consumer.tick)

        # then the first thing ever seen is the sound one
        assert consumer.current.ids == ["a", "b"]
        assert (consumer.wire.version, consumer.wire.incarnation) == (5, "i")
        assert script.asked[:2] == [0, 0]


async def test_a_change_that_is_interrupted_is_forgotten() -> None:
    # given a change whose first part is followed by the whole snapshot
    begun = frame(0, 4, "x", last_part=False)
    script = Script([begun, *WHOLE, frame(5, 6, "c")], [])

    # when
    async with consuming_script(script) as consumer:
        await until(lambda: consumer.wire.version == 6 or len(script.asked) > 1, consumer.tick)

        # then one watch brought everything, and nothing of what was interrupted
        assert consumer.current.ids == ["a", "b", "c"]


async def test_a_lineage_goes_back_with_its_version() -> None:
    # given a snapshot with a lineage
    whole = [frame(0, 5, "a", lineage="l5")]
    script = Script(whole, [frame(5, 6, "b", lineage="l6")], [])

    # when the watch ends, twice
    async with consuming_script(script) as consumer:
        await until(lambda: len(script.asked) > 2, consumer.tick)
        # and another consumer starts with the copy
        async with consuming_script(script, consumer.kept) as other:
            asked = len(script.asked)
            await until(lambda: len(script.asked) > asked, other.tick)
            incarnation = other.wire.incarnation

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
    async with consuming_script(script) as consumer:
        await until(lambda: consumer.wire.version == 6 or len(script.asked) > 1, consumer.tick)

        # then one watch brought everything
        assert consumer.current.ids == ["a", "b", "c"]
        assert script.asked[0] == 0


async def test_a_change_of_another_incarnation_is_not_built_on() -> None:
    # given a snapshot, then a change that pretends to follow it
    script = Script(WHOLE, [frame(5, 6, "c", incarnation="j")], [frame(5, 7, "d")])

    # when
    async with consuming_script(script) as consumer:
        await until(lambda: consumer.wire.version == 7, consumer.tick)

        # then
        assert consumer.current.ids == ["a", "b", "d"]
        assert script.asked[:3] == [0, 5, 5]


async def test_a_copy_is_loaded_once() -> None:
    script = Script([])
    async with consuming_script(script) as consumer:
        await consumer.wire.load()
        await consumer.wire.load()

        assert consumer.wire.current is None
        assert (consumer.wire.version, consumer.wire.incarnation) == (0, "")


async def test_a_copy_that_missed_a_change_is_written_again_as_a_whole() -> None:
    # given a whole snapshot that is kept, and a change whose saving breaks the loop
    script = Script(WHOLE, [frame(5, 6, "c")], [frame(6, 7, "d")])
    async with serving_script(script) as target:
        consumer = Consumer(target)
        following = asyncio.ensure_future(consumer.wire.run())
        await until(lambda: consumer.kept.kept is not None, consumer.tick)
        consumer.kept.broken = True
        await until(following.done, consumer.tick)
        assert isinstance(following.exception(), ValueError)

        # when the loop runs again and the next change arrives
        async with consumer.channel, running(consumer.wire.run()):
            await consumer.saw(7)

    # then the copy has what it had missed
    assert consumer.kept.kept is not None
    assert sorted(id_ for _, id_ in consumer.kept.kept.resources) == ["a", "b", "c", "d"]
