"""What survives the process: versions, incarnation, answers, and nothing half-written."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import grpc
import pytest

from services.chassis.calls.channel import open_channel
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import Client, ids, settings_of, started
from tests.support.profiles import amount, scaled
from tests.support.registry_resources import agent, model, provider, quickstart
from tests.support.stack import free_port

ROOT = Path(__file__).parents[3]


async def test_a_restart_keeps_version_incarnation_and_content(settings: RegistrySettings) -> None:
    # given
    async with started(settings) as registry:
        first = await registry.applied(*quickstart(), request_id="r-1")
        before = await registry.snapshot()

    # when it starts again on the same database
    async with started(settings) as registry:
        after = await registry.snapshot()
        repeated = await registry.applied(*quickstart(), request_id="r-1")
        next_one = await registry.applied(provider("other"))

    # then nothing is new but what is applied now
    assert after == before
    assert repeated == first
    assert (next_one.version, next_one.incarnation) == (3, first.incarnation)


async def test_another_database_is_another_incarnation(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        async with started(settings_of(f"sqlite:///{tmp_path}/{name}.db")) as registry:
            found.append((await registry.snapshot())[0].incarnation)

    assert found[0] != found[1]


async def spawned(folder: Path, port: int) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen/python'}",
        "RUNYARD_REGISTRY_LISTEN": f"127.0.0.1:{port}",
        "RUNYARD_REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db",
    }
    command = [sys.executable, "-m", "services.registry"]
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stderr=asyncio.subprocess.DEVNULL
    )


@pytest.mark.slow
@scaled
async def test_a_killed_registry_has_every_acknowledged_version(tmp_path: Path) -> None:
    """Killed in the middle of concurrent applies: what was answered is there, whole."""
    # given a registry process that takes applies from eight writers
    port = free_port()
    process = await spawned(tmp_path, port)
    acknowledged: dict[str, int] = {}
    enough = asyncio.Event()

    async def write(registry: Client, writer: int) -> None:
        for number in range(10_000):
            name = f"w{writer}-{number}"
            pair = [model(f"m-{name}"), agent(f"a-{name}", model_id=f"m-{name}")]
            try:
                acknowledged[name] = await registry.apply(*pair)
            except grpc.aio.AioRpcError:
                return
            if len(acknowledged) >= amount(gate=40, chaos=400):
                enough.set()

    async with open_channel(f"127.0.0.1:{port}") as channel:
        registry = Client(channel)
        await registry.apply(provider())
        writers = [asyncio.ensure_future(write(registry, n)) for n in range(8)]
        await enough.wait()
        # when it is killed
        process.kill()
        await process.wait()
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    # then a new process has all that was acknowledged, each pair in its own version
    async with started(settings_of(f"sqlite:///{tmp_path}/registry.db")) as registry:
        parts = await registry.snapshot()
    since: dict[str, int] = {}
    for part in parts:
        versions = [resource.meta.since_version for resource in part.resources]
        since.update(zip(ids(part.resources), versions, strict=True))
    for name, version in acknowledged.items():
        assert since[f"m-{name}"] == since[f"a-{name}"] == version
    # and no version is half there
    assert sorted(set(since.values())) == list(range(2, parts[0].version + 1))
    assert all(since[f"a-{id_[2:]}"] == v for id_, v in since.items() if id_.startswith("m-"))
