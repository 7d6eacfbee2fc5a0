"""A database that is put back to an older state, and one that an older program made."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.streaming import streaming
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import apply, everything
from tests.contract.registry.test_consumer import consuming
from tests.support.clock import ManualClock
from tests.support.following import Follower, snapshot_of, watch
from tests.support.postgres import execute
from tests.support.registry_resources import provider, quickstart
from tests.support.serving import serving
from tests.support.turns import until

TABLES = [sql.Identifier(name) for name in ("head", "version", "resource", "reference")]


@pytest.fixture
def settings(tmp_path: Path, unused_tcp_port: int) -> RegistrySettings:
    """Of one address, so that a registry can come back to it."""
    return RegistrySettings(
        listen=f"127.0.0.1:{unused_tcp_port}",
        database_url=f"sqlite:///{tmp_path}/registry.db",
        drain_grace_s=1.0,
    )


@asynccontextmanager
async def running(settings: RegistrySettings) -> AsyncIterator[RegistryServiceStub]:
    async with serving(build, settings) as server:
        yield RegistryServiceStub(server.channel)


def database(settings: RegistrySettings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


async def first_frame(
    registry: RegistryServiceStub, after_version: int, of: Any, lineage: str | None = None
) -> Any:
    """What a watcher gets that has ``after_version`` of the frame or part ``of``."""
    request = service_pb.WatchSnapshotRequest(
        after_version=after_version,
        incarnation=of.incarnation,
        lineage=of.lineage if lineage is None else lineage,
    )
    async with streaming(registry.WatchSnapshot(request)) as call:
        return await call.read()


async def newest(registry: RegistryServiceStub) -> Any:
    return await registry.GetSnapshot(service_pb.GetSnapshotRequest()).read()


async def test_a_version_beyond_the_head_gets_everything(settings: RegistrySettings) -> None:
    # given a watcher with version 4, and a database that was put back to version 2
    backup = database(settings).with_suffix(".backup")
    async with running(settings) as registry:
        await apply(registry, provider("kept"))
    shutil.copy(database(settings), backup)
    async with running(settings) as registry:
        await apply(registry, provider("lost"))
        await apply(registry, provider("lost, too"))
        had = await newest(registry)
    shutil.copy(backup, database(settings))

    # when it comes back
    async with running(settings) as registry:
        frame = await first_frame(registry, 4, had)

    # then
    assert frame.incarnation == had.incarnation
    assert (frame.from_version, frame.to_version) == (0, 2)
    assert [item.upserted.provider.id for item in frame.items] == ["kept"]


@pytest.mark.parametrize("more", [1, 2, 3])
async def test_a_number_that_was_given_out_twice_is_two_versions(
    settings: RegistrySettings, more: int
) -> None:
    """Put back to version 2 and published to as often as before, less and more often."""
    # given a watcher with version 4 of a history that is gone
    backup = database(settings).with_suffix(".backup")
    async with running(settings) as registry:
        await apply(registry, provider("kept"))
        kept = await newest(registry)
    shutil.copy(database(settings), backup)
    async with running(settings) as registry:
        await apply(registry, provider("lost"))
        await apply(registry, provider("lost, too"))
        had = await newest(registry)
    shutil.copy(backup, database(settings))

    async with running(settings) as registry:
        # when others take the numbers
        for number in range(more):
            await apply(registry, provider(f"new {number}"))
        now = await newest(registry)
        frame = await first_frame(registry, 4, had)
        untouched = await first_frame(registry, 2, kept)

    # then it gets everything, and who has what both have in common gets the net change
    assert (had.version, had.incarnation) == (4, now.incarnation)
    assert had.lineage != now.lineage
    assert (frame.from_version, frame.to_version, frame.lineage) == (0, 2 + more, now.lineage)
    assert [item.upserted.provider.id for item in frame.items] == [
        "kept",
        *(f"new {number}" for number in range(more)),
    ]
    assert (untouched.from_version, untouched.to_version) == (2, 2 + more)


async def test_a_consumer_that_was_away_does_not_take_one_history_for_the_other(
    settings: RegistrySettings,
) -> None:
    # given a consumer and its copy at version 3
    backup = database(settings).with_suffix(".backup")
    async with running(settings) as registry:
        await apply(registry, provider("kept"))
    shutil.copy(database(settings), backup)
    async with running(settings) as registry, consuming(settings.listen) as consumer:
        await apply(registry, provider("lost"))
        had = await consumer.saw(3)
        copy = consumer.kept
    shutil.copy(backup, database(settings))

    # when another version 3 is made before it is back, and a version 4 after
    async with running(settings) as registry:
        await apply(registry, provider("other"))
        async with consuming(settings.listen, copy) as consumer:
            await apply(registry, provider("more"))
            now = await consumer.saw(4)

    # then
    assert had.ids == ["kept", "lost"]
    assert now.ids == ["kept", "more", "other"]
    assert now.incarnation == had.incarnation


class Backup:
    """The rows of a database that is in use, and the way back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tables = [
            (table, execute(url, sql.SQL("TABLE {}").format(table))) for table in TABLES
        ]

    def restore(self) -> None:
        with psycopg.connect(self._url) as connection:
            for table, rows in self._tables:
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
                for row in rows:
                    values = sql.SQL(", ").join(map(sql.Literal, row))
                    connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(table, values))


@pytest.mark.parametrize("more", [1, 2, 3])
async def test_a_database_that_is_put_back_under_a_watch_is_noticed(
    postgres_url: str, clock: ManualClock, more: int
) -> None:
    """As a failover does it that loses the last commits: servers and watches go on."""
    # given version 2, and one history that goes on from it
    settings = RegistrySettings(listen="127.0.0.1:0", database_url=postgres_url)
    async with serving(build, settings, clock=clock) as server:
        registry = RegistryServiceStub(server.channel)
        await apply(registry, provider("kept"))
        second = Backup(postgres_url)
        for number in range(more):
            await apply(registry, provider(f"new {number}"))
        other, last = Backup(postgres_url), await snapshot_of(registry)

        # and an open watch that has version 4 of another one
        second.restore()
        clock.advance(1)
        await apply(registry, provider("lost"))
        await apply(registry, provider("lost, too"))
        follower = Follower()
        async with watch(registry, follower) as call:
            await follower.follow(call, 4)

            async def see_the_last() -> None:
                while follower.resources != last.resources:
                    follower.take(await call.read())

            # when the first takes its place, between two looks
            other.restore()
            seeing = asyncio.ensure_future(see_the_last())
            await until(seeing.done, lambda: clock.advance(1.0))
            await seeing

    # then it was given everything once more, and has what there is
    assert follower.spans == [(0, 4), (0, 2 + more)]


async def test_a_restart_keeps_lineages(settings: RegistrySettings) -> None:
    async with running(settings) as registry:
        await apply(registry, provider("a"))
        had = await newest(registry)

    async with running(settings) as registry:
        assert await newest(registry) == had
        await apply(registry, provider("b"))
        frame = await first_frame(registry, 2, had)

    assert (frame.from_version, frame.to_version) == (2, 3)


async def test_a_database_of_the_first_schema_is_taken_along(settings: RegistrySettings) -> None:
    # given a database with four versions, as the first program left it
    async with running(settings) as registry:
        await apply(registry, *quickstart())
        await apply(registry, provider("passing"), apply_set="s")
        await apply(registry, apply_set="s", prune=True)
        had, before = await newest(registry), await everything(registry)
    with sqlite3.connect(database(settings)) as old:
        old.executescript(
            """
            DROP INDEX version_unhashed;
            ALTER TABLE version DROP COLUMN content_hash;
            ALTER TABLE version DROP COLUMN lineage;
            ALTER TABLE head DROP COLUMN lineage;
            DROP INDEX resource_valid_from;
            DROP INDEX resource_valid_to;
            CREATE INDEX resource_valid_from ON resource (valid_from);
            CREATE INDEX resource_valid_to ON resource (valid_to) WHERE valid_to IS NOT NULL;
            UPDATE schema_version SET version_num = '0001';
            """
        )

    # when this one starts on it
    async with running(settings) as registry:
        listed = (await registry.ListVersions(service_pb.ListVersionsRequest())).versions
        entries = (await registry.ListAuditEntries(service_pb.ListAuditEntriesRequest())).entries
        now, after = await newest(registry), await everything(registry)
        # and a watcher that had a version of the old program's comes back
        await apply(registry, provider("new"))
        frame = await first_frame(registry, 4, now)

    # then nothing is lost, hashes are there, and the old versions can be told apart from now on
    assert after == before
    assert [one.version for one in listed] == [4, 3, 2, 1]
    assert listed[0].content_hash == listed[2].content_hash == had.content_hash
    assert [e.ref.id for e in entries[:2]] == ["passing", "passing"]
    assert now.lineage == ""
    assert (frame.from_version, frame.to_version) == (4, 5)
    assert len(frame.lineage) == 32
