"""Following the registry by the command, and through a restart of its server."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1 import registry_service_pb2_grpc as rpc
from services.cli.base.exits import CliError
from services.cli.registry.watching import Step, Watching
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.cli.process import COMMAND, environment, put, registry_with, runyard
from tests.contract.cli.scripted import PassingClock, served, stream_of
from tests.support.registry_resources import agent, quickstart, tool

pytestmark = pytest.mark.slow
Stream = Sequence[pb.WatchSnapshotResponse | grpc.StatusCode]


@asynccontextmanager
async def watching(at: dict[str, str], *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "watch", "registry", *options),
        env=environment(**at),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


async def value(process: asyncio.subprocess.Process) -> Any:
    (line,) = await lines(process, 1)
    return json.loads(line)


async def test_changes_are_shown_as_they_are_published_until_ctrl_c(tmp_path: Path) -> None:
    async with (
        registry_with(tmp_path, *quickstart()) as (at, stub),
        watching(at) as process,
    ):
        first = await lines(process, 1)

        # when something is changed, added and removed
        await put(stub, [agent(model_id="small", tools=["search"]), tool("more")])
        second = await lines(process, 3)
        await runyard("delete", "tool", "more", **at)
        third = await lines(process, 2)

        # and when Ctrl-C is pressed
        process.send_signal(signal.SIGINT)
        code = await process.wait()

    # then
    assert first == ["version 2: 5 resource(s)"]
    assert second == [
        "version 3",
        "  ~ agent/scout updated  on small, 1 tool",
        "  + tool/more created  worker, at_most_once; allow",
    ]
    assert third == ["version 4", "  - tool/more removed"]
    assert code == 130


async def test_a_watch_goes_on_after_a_restart_without_a_gap(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    other = tmp_path / "other"
    other.mkdir()
    at = {"RUNYARD_ENDPOINTS": f"registry=127.0.0.1:{port}"}
    async with watching(at, "-o", "json") as process:
        # given a watch of a registry, begun before it was there
        async with registry_with(tmp_path, *quickstart(), port=port):
            first = await value(process)

        # when its server stops, is started again, and something changes
        async with registry_with(tmp_path, port=port) as (_, stub):
            await put(stub, [tool("more")])
            second = await value(process)

        # and when it comes back with another database
        async with registry_with(other, tool("search", worker={"label": "gpu"}), port=port):
            third = await value(process)

    # then every value has what changed since the one before
    assert (first["from_version"], first["to_version"], len(first["changes"])) == ("0", "2", 5)
    assert (second["from_version"], second["to_version"]) == ("2", "3")
    assert [one["resource"] for one in second["changes"]] == ["tool/more"]
    assert second["incarnation"] == first["incarnation"] != third["incarnation"]
    gone = ("agent/scout", "model/small", "model_pool/both", "provider/local", "tool/more")
    assert {one["resource"]: one["action"] for one in third["changes"]} == {
        "tool/search": "updated",
        **dict.fromkeys(gone, "removed"),
    }


class ScriptedRegistry(rpc.RegistryServiceServicer):
    """One list of frames per watch, which a status may end.

    Attributes:
        asked: Version and incarnation that each watch began from.
    """

    def __init__(self, *streams: Stream) -> None:
        self._streams = list(streams)
        self.asked: list[tuple[int, str]] = []

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: Any
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        self.asked.append((request.after_version, request.incarnation))
        async for frame in stream_of(self._streams.pop(0), context):
            yield frame


@asynccontextmanager
async def scripted(*streams: Stream) -> AsyncIterator[tuple[Watching, ScriptedRegistry]]:
    servicer = ScriptedRegistry(*streams)  # type: ignore[abstract]  # no other method is called
    async with (
        served(rpc.add_RegistryServiceServicer_to_server, servicer) as address,
        connected({**DEFAULTS, "registry": address}) as found,
    ):
        yield Watching(found, clock=PassingClock()), servicer


def frame(
    versions: tuple[int, int], part: int, *ids: str, last: bool = True
) -> pb.WatchSnapshotResponse:
    items = [pb.SnapshotItem(upserted=tool(id_)) for id_ in ids]
    found = pb.WatchSnapshotResponse(incarnation="i", part=part, last_part=last, items=items)
    found.from_version, found.to_version = versions
    return found


async def follow(watch: Watching, steps: list[Step]) -> None:
    async for step in watch.steps():
        steps.append(step)  # noqa: PERF401  # an error must not take the steps with it


AWAY = grpc.StatusCode.UNAVAILABLE


async def test_a_change_that_is_cut_off_counts_only_as_a_whole() -> None:
    # given a snapshot in two parts, a change of which the second part gets lost, a sign of life
    streams = (
        [frame((0, 2), 0, "a", last=False), frame((0, 2), 1, "b")],
        [frame((2, 3), 0, "c", last=False), AWAY],
        [pb.WatchSnapshotResponse(heartbeat={}), frame((2, 4), 0, "d"), grpc.StatusCode.NOT_FOUND],
    )

    # when
    steps: list[Step] = []
    async with scripted(*streams) as (watch, registry):
        with pytest.raises(CliError, match="scripted"):
            await follow(watch, steps)

    # then each change is whole, and the watch goes on from the last one
    told = [(step.from_version, step.to_version, [x.name for x in step.happened]) for step in steps]
    assert told == [(0, 2, ["tool/a", "tool/b"]), (2, 4, ["tool/d"])]
    assert registry.asked == [(0, ""), (2, "i"), (2, "i")]


async def test_a_registry_that_was_never_there_is_given_up() -> None:
    async with scripted(*[[AWAY]] * 50) as (watch, _):
        with pytest.raises(CliError) as error:
            await follow(watch, [])
    assert error.value.exit_code == 3
    assert 10.0 <= watch.clock.monotonic_s() <= 13.0


async def test_a_registry_that_was_there_is_waited_for() -> None:
    # given a registry that is away for more than ten minutes
    away: list[str] = []
    async with scripted([frame((0, 2), 0, "a")], *[[AWAY]] * 400, [frame((2, 3), 0)]) as (watch, _):
        watch.on_outage = lambda: away.append("away")

        # when
        versions = []
        async for step in watch.steps():
            versions.append(step.to_version)
            if step.to_version == 3:
                break

    # then it is told once that it is away
    assert versions == [2, 3]
    assert watch.clock.monotonic_s() > 600.0
    assert away == ["away"]
