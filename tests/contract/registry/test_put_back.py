"""Consumers of a registry whose database was put back to an older state: its numbers come again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from grpc.aio import Channel

from services.registry.main import build
from services.registry.settings import RegistrySettings
from services.wire.snapshot import SnapshotBehindError
from tests.contract.registry.test_consumer import apply, consuming
from tests.support.registry_resources import provider
from tests.support.serving import serving
from tests.support.turns import until


@pytest.fixture
def fixed(tmp_path: Path, unused_tcp_port: int) -> RegistrySettings:
    """A registry in one file and at one address."""
    return RegistrySettings(
        listen=f"127.0.0.1:{unused_tcp_port}",
        database_url=f"sqlite:///{tmp_path}/registry.db",
        drain_grace_s=1.0,
    )


async def two(channel: Channel, first: str, second: str) -> None:
    await apply(channel, provider(first))
    await apply(channel, provider(second))


def back_up(folder: Path) -> None:
    """Of a registry that has stopped: one file, into which everything is checkpointed."""
    assert not (folder / "registry.db-wal").exists()
    shutil.copy(folder / "registry.db", folder / "backup.db")


def put_back(folder: Path) -> None:
    shutil.copy(folder / "backup.db", folder / "registry.db")


async def test_an_older_state_takes_the_place_of_a_newer_one(
    fixed: RegistrySettings, tmp_path: Path
) -> None:
    # given a backup of version 2, and a consumer that has version 4
    async with serving(build, fixed) as server:
        await apply(server.channel, provider("kept"))
    back_up(tmp_path)
    async with consuming(fixed.listen) as consumer:
        async with serving(build, fixed) as server:
            await two(server.channel, "lost", "lost-too")
            had = await consumer.saw(4)
        assert had.ids == ["kept", "lost", "lost-too"]

        # when the backup is put back, and the registry goes on from there
        put_back(tmp_path)
        async with serving(build, fixed) as server:
            now = await consumer.saw(2)

            # then the consumer has that, and whoever wants version 4 has to wait for it
            assert now.ids == ["kept"]
            assert now.incarnation == had.incarnation
            waiting = consumer.wire.at_least(4, timeout_s=0.0)
            with pytest.raises(SnapshotBehindError):
                await waiting
            await two(server.channel, "made", "made-too")
            assert (await consumer.saw(4)).ids == ["kept", "made", "made-too"]
            assert (await consumer.wire.at_least(4)).ids == ["kept", "made", "made-too"]


async def test_a_version_with_the_same_number_is_told_from_the_one_that_was_lost(
    fixed: RegistrySettings, tmp_path: Path
) -> None:
    """The number and the incarnation are what the consumer has: the lineage alone differs."""
    # given a consumer of version 4, of which a backup of version 2 knows nothing
    async with serving(build, fixed) as server:
        await apply(server.channel, provider("kept"))
    back_up(tmp_path)
    async with consuming(fixed.listen) as consumer:
        async with serving(build, fixed) as server:
            await two(server.channel, "lost", "lost-too")
            had = await consumer.saw(4)

        # when the backup is put back and has another version 4 before the consumer is back
        put_back(tmp_path)
        elsewhere = fixed.model_copy(update={"listen": "127.0.0.1:0"})
        async with serving(build, elsewhere) as server:
            await two(server.channel, "made", "made-too")
        async with serving(build, fixed):
            await until(lambda: consumer.current is not had, lambda: consumer.clock.advance(0.1))

    # then it is told everything anew
    assert (consumer.current.version, consumer.current.incarnation) == (4, had.incarnation)
    assert consumer.current.ids == ["kept", "made", "made-too"]
