"""What survives the process: versions, incarnation, answers, and nothing half-written."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.channel import open_channel
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.support.registry_resources import agent, model, provider, quickstart
from tests.support.serving import serving

ROOT = Path(__file__).parents[3]


async def apply(
    registry: RegistryServiceStub, *resources: pb.Resource, **fields: object
) -> service_pb.ApplyResourcesResponse:
    request = service_pb.ApplyResourcesRequest(resources=resources, **fields)
    return await registry.ApplyResources(request, wait_for_ready=True)


async def snapshot(registry: RegistryServiceStub) -> list[service_pb.GetSnapshotResponse]:
    return [part async for part in registry.GetSnapshot(service_pb.GetSnapshotRequest())]


async def test_a_restart_keeps_version_incarnation_and_content(
    settings: RegistrySettings,
) -> None:
    # given
    async with serving(build, settings) as server:
        registry = RegistryServiceStub(server.channel)
        first = await apply(registry, *quickstart(), request_id="r-1")
        before = await snapshot(registry)

    # when it starts again on the same database
    async with serving(build, settings) as server:
        registry = RegistryServiceStub(server.channel)
        after = await snapshot(registry)
        repeated = await apply(registry, *quickstart(), request_id="r-1")
        next_one = await apply(registry, provider("other"))

    # then nothing is new but what is applied now
    assert after == before
    assert repeated == first
    assert (next_one.version, next_one.incarnation) == (3, first.incarnation)


async def test_another_database_is_another_incarnation(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        settings = RegistrySettings(
            listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path}/{name}.db"
        )
        async with serving(build, settings) as server:
            found.append((await snapshot(RegistryServiceStub(server.channel)))[0].incarnation)

    assert found[0] != found[1]


async def spawned(folder: Path, port: int) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen/python'}",
        "RUNYARD_REGISTRY_LISTEN": f"127.0.0.1:{port}",
        "RUNYARD_REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.registry",
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.slow
async def test_a_killed_registry_has_every_acknowledged_version(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """Killed in the middle of concurrent applies: what was answered is there, whole."""
    # given a registry process that takes applies from eight writers
    process = await spawned(tmp_path, unused_tcp_port)
    target = f"127.0.0.1:{unused_tcp_port}"
    acknowledged: dict[str, int] = {}
    enough = asyncio.Event()

    async def write(registry: RegistryServiceStub, writer: int) -> None:
        for number in range(10_000):
            name = f"w{writer}-{number}"
            pair = [model(f"m-{name}"), agent(f"a-{name}", model_id=f"m-{name}")]
            try:
                answer = await apply(registry, *pair)
            except grpc.aio.AioRpcError:
                return
            acknowledged[name] = answer.version
            if len(acknowledged) >= 100:
                enough.set()

    async with open_channel(target) as channel:
        registry = RegistryServiceStub(channel)
        await apply(registry, provider())
        writers = [asyncio.ensure_future(write(registry, n)) for n in range(8)]
        await enough.wait()
        # when it is killed
        process.send_signal(signal.SIGKILL)
        await process.wait()
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    # then a new process has all that was acknowledged, each pair in its own version
    settings = RegistrySettings(
        listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path}/registry.db"
    )
    async with serving(build, settings) as server:
        parts = await snapshot(RegistryServiceStub(server.channel))
    since: dict[str, int] = {}
    for resource in (each for part in parts for each in part.resources):
        arm = resource.WhichOneof("resource")
        since[getattr(resource, arm).id] = resource.meta.since_version
    for name, version in acknowledged.items():
        assert since[f"m-{name}"] == since[f"a-{name}"] == version
    # and no version is half there
    assert sorted(set(since.values())) == list(range(2, parts[0].version + 1))
    assert all(since[f"a-{id_[2:]}"] == v for id_, v in since.items() if id_.startswith("m-"))
