"""A database that is put back to an older state, and one that an older program made."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from services.registry.settings import RegistrySettings
from services.wire.snapshot import SnapshotBehindError
from tests.contract.registry.calls import Client, Frame, settings_of, started
from tests.contract.registry.test_consumer import consuming
from tests.support.clock import ManualClock
from tests.support.postgres import execute
from tests.support.registry_resources import provider, quickstart
from tests.support.snapshot_follower import Follower, snapshot_of, watch
from tests.support.stack import free_port
from tests.support.waiting import until

TABLES = [sql.Identifier(name) for name in ("head", "version", "resource", "reference")]


@pytest.fixture
def settings(sqlite_url: str) -> RegistrySettings:
    """Of one file and of one address, so that a registry can come back to both."""
    return settings_of(sqlite_url, free_port())


def database(settings: RegistrySettings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


async def back_up(settings: RegistrySettings) -> Any:
    """Publish version 2 and copy the database that has it; answer the snapshot."""
    async with started(settings) as registry:
        await registry.publish("kept")
        (kept,) = await registry.snapshot()
    file = database(settings)
    assert not file.with_name(f"{file.name}-wal").exists()  # everything is in one file
    shutil.copy(file, file.with_suffix(".backup"))
    return kept


def put_back(settings: RegistrySettings) -> None:
    shutil.copy(database(settings).with_suffix(".backup"), database(settings))


async def first_frame(registry: Client, after_version: int, of: Any) -> Frame:
    """What a watcher gets that has ``after_version`` of the snapshot ``of``."""
    async with registry.watching(after_version, of.incarnation, of.lineage) as watch:
        return await watch.frame()


async def test_a_version_beyond_the_head_gets_everything(settings: RegistrySettings) -> None:
    # given a watcher with version 4, and a database that was put back to version 2
    await back_up(settings)
    async with started(settings) as registry:
        await registry.publish("lost", "lost, too")
        (had,) = await registry.snapshot()
    put_back(settings)

    # when it comes back
    async with started(settings) as registry:
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
    kept = await back_up(settings)
    async with started(settings) as registry:
        await registry.publish("lost", "lost, too")
        (had,) = await registry.snapshot()
    put_back(settings)

    async with started(settings) as registry:
        # when others take the numbers
        names = [f"new {number}" for number in range(more)]
        await registry.publish(*names)
        (now,) = await registry.snapshot()
        frame = await first_frame(registry, 4, had)
        untouched = await first_frame(registry, 2, kept)

    # then it gets everything, and who has what both have in common gets the net change
    assert (had.version, had.incarnation) == (4, now.incarnation)
    assert had.lineage != now.lineage
    assert (frame.from_version, frame.to_version, frame.lineage) == (0, 2 + more, now.lineage)
    assert [item.upserted.provider.id for item in frame.items] == ["kept", *names]
    assert (untouched.from_version, untouched.to_version) == (2, 2 + more)


async def test_a_consumer_that_was_away_does_not_take_one_history_for_the_other(
    settings: RegistrySettings,
) -> None:
    # given a consumer and its copy at version 3
    await back_up(settings)
    async with started(settings) as registry, consuming(settings.listen) as consumer:
        await registry.publish("lost")
        had = await consumer.saw(3)
    put_back(settings)

    # when another version 3 is made before it is back, and a version 4 after
    async with started(settings) as registry:
        await registry.publish("other")
        async with consuming(settings.listen, consumer.kept) as consumer:
            await registry.publish("more")
            now = await consumer.saw(4)

    # then
    assert had.ids == ["kept", "lost"]
    assert now.ids == ["kept", "more", "other"]
    assert now.incarnation == had.incarnation


async def test_an_older_state_takes_the_place_of_a_newer_one(settings: RegistrySettings) -> None:
    # given a backup of version 2, and a consumer that has version 4
    await back_up(settings)
    async with consuming(settings.listen) as consumer:
        async with started(settings) as registry:
            await registry.publish("lost", "lost, too")
            had = await consumer.saw(4)
        assert had.ids == ["kept", "lost", "lost, too"]

        # when the backup is put back, and the registry goes on from there
        put_back(settings)
        async with started(settings) as registry:
            now = await consumer.saw(2)

            # then the consumer has that, and whoever wants version 4 has to wait for it
            assert now.ids == ["kept"]
            assert now.incarnation == had.incarnation
            waiting = consumer.wire.at_least(4, timeout_s=0.0)
            with pytest.raises(SnapshotBehindError):
                await waiting
            await registry.publish("made", "made, too")
            assert (await consumer.saw(4)).ids == ["kept", "made", "made, too"]
            assert (await consumer.wire.at_least(4)).ids == ["kept", "made", "made, too"]


async def test_a_version_with_the_number_of_a_lost_one_is_another_version(
    settings: RegistrySettings,
) -> None:
    """The number and the incarnation are what the consumer has: the lineage alone differs."""
    # given a consumer of version 4, of which a backup of version 2 knows nothing
    await back_up(settings)
    async with consuming(settings.listen) as consumer:
        async with started(settings) as registry:
            await registry.publish("lost", "lost, too")
            had = await consumer.saw(4)

        # when the backup is put back and has another version 4 before the consumer is back
        put_back(settings)
        async with started(settings_of(settings.database_url)) as elsewhere:
            await elsewhere.publish("made", "made, too")
        async with started(settings):
            await until(lambda: consumer.current is not had, consumer.tick)

    # then it is told everything anew
    assert (consumer.current.version, consumer.current.incarnation) == (4, had.incarnation)
    assert consumer.current.ids == ["kept", "made", "made, too"]


class RowsBackup:
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
    async with started(settings_of(postgres_url), clock) as registry:
        await registry.publish("kept")
        second = RowsBackup(postgres_url)
        await registry.publish(*(f"new {number}" for number in range(more)))
        other, last = RowsBackup(postgres_url), await snapshot_of(registry)

        # and an open watch that has version 4 of another one
        second.restore()
        clock.advance(1)
        await registry.publish("lost", "lost, too")
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
    async with started(settings) as registry:
        await registry.publish("a")
        had = await registry.snapshot()

    async with started(settings) as registry:
        assert await registry.snapshot() == had
        await registry.publish("b")
        frame = await first_frame(registry, 2, had[0])

    assert (frame.from_version, frame.to_version) == (2, 3)


async def test_a_database_of_the_first_schema_is_taken_along(settings: RegistrySettings) -> None:
    # given a database with four versions, as the first program left it
    async with started(settings) as registry:
        await registry.apply(*quickstart())
        await registry.apply(provider("passing"), apply_set="s")
        await registry.apply(apply_set="s", prune=True)
        (had,), before = await registry.snapshot(), await registry.everything()
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
    async with started(settings) as registry:
        listed = (await registry.versions()).versions
        entries = (await registry.audit()).entries
        (now,), after = await registry.snapshot(), await registry.everything()
        # and a watcher that had a version of the old program's comes back
        await registry.publish("new")
        frame = await first_frame(registry, 4, now)

    # then nothing is lost, hashes are there, and the old versions can be told apart from now on
    assert after == before
    assert [one.version for one in listed] == [4, 3, 2, 1]
    assert listed[0].content_hash == listed[2].content_hash == had.content_hash
    assert [e.ref.id for e in entries[:2]] == ["passing", "passing"]
    assert now.lineage == ""
    assert (frame.from_version, frame.to_version) == (4, 5)
    assert len(frame.lineage) == 32
