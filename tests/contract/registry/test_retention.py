"""Old versions go, in small steps; what is kept is whole, and nobody reads a mixture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.streaming import streaming
from services.registry.core.retaining import Keeping
from services.registry.engine.retention import CONTENTS_PER_STEP, Retention
from services.registry.main import build
from services.registry.settings import RegistrySettings
from services.registry.store.registry_store import SqlRegistryStore
from services.registry.store.tables import MIGRATIONS, metadata
from tests.contract.registry.calls import apply, everything, refused
from tests.support.clock import ManualClock
from tests.support.registry_resources import agent, model, provider
from tests.support.serving import serving

AT_ONCE = timedelta()


@asynccontextmanager
async def store_of(url: str, clock: ManualClock) -> AsyncIterator[SqlRegistryStore]:
    """Beside the server on PostgreSQL, after it on SQLite."""
    database = open_store(
        url, metadata=metadata, migrations=MIGRATIONS, clock=clock, notifier=LocalNotifier()
    )
    async with database as opened:
        yield SqlRegistryStore(opened, clock)


@asynccontextmanager
async def serving_few(
    settings: RegistrySettings, clock: ManualClock, **keep: Any
) -> AsyncIterator[RegistryServiceStub]:
    async with serving(build, settings.model_copy(update=keep), clock=clock) as served:
        yield RegistryServiceStub(served.channel)


async def kept(registry: RegistryServiceStub) -> list[int]:
    request = service_pb.ListVersionsRequest(page_size=1000)
    return [one.version for one in (await registry.ListVersions(request)).versions]


async def oldest_is(registry: RegistryServiceStub, clock: ManualClock, version: int) -> None:
    """Let time pass until it is."""
    oldest = 0
    while oldest != version:
        clock.advance(30)
        oldest = (await kept(registry))[-1]


async def publish(registry: RegistryServiceStub, versions: int) -> None:
    for number in range(versions):
        await apply(registry, provider("a", timeout={"seconds": 1 + number}))


@pytest.mark.parametrize(
    ("keep_versions", "keep_days", "oldest"),
    [
        (3, 0.0, 8),  # only the number counts
        (1, 0.0, 10),  # the current one stays, whatever else
        (1, 1.0, 6),  # versions 6 to 10 are of today
        (7, 1.0, 4),  # among the newest seven
        (1, 3.0, 1),  # all of them are younger
        (100, 0.0, 1),
    ],
)
async def test_a_version_goes_when_it_is_neither_new_nor_young(
    settings: RegistrySettings,
    clock: ManualClock,
    keep_versions: int,
    keep_days: float,
    oldest: int,
) -> None:
    # given versions 1 to 5 of the day before yesterday, 6 to 10 of today
    async with serving_few(settings, clock) as registry:
        await publish(registry, 4)
        clock.advance(2 * 86_400)
        await publish(registry, 5)
        _, before = await everything(registry)

    # when
    keep = {"keep_versions": keep_versions, "keep_days": keep_days}
    async with serving_few(settings, clock, **keep) as registry:
        await oldest_is(registry, clock, oldest)

        # then the rest is as it was
        assert await kept(registry) == list(range(10, oldest - 1, -1))
        assert (await everything(registry))[1] == before


async def test_what_is_no_longer_kept_is_not_found(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with serving_few(settings, clock, keep_versions=2, keep_days=0) as registry:
        # given that versions 4 and 5 are kept
        await publish(registry, 4)
        await oldest_is(registry, clock, 4)

        # when version 3 is asked for, in every way
        calls: list[Any] = [
            registry.GetSnapshot(service_pb.GetSnapshotRequest(version=3)).read(),
            registry.DiffVersions(service_pb.DiffVersionsRequest(from_version=3)),
            registry.DiffVersions(service_pb.DiffVersionsRequest(from_version=4, to_version=3)),
            registry.Rollback(service_pb.RollbackRequest(version=3)),
        ]
        found = [await refused(call) for call in calls]

        # then
        assert {facts.reason for facts in found} == {"VERSION_NOT_FOUND"}
        assert {facts.metadata["oldest"] for facts in found} == {"4"}
        assert {facts.metadata["current"] for facts in found} == {"5"}
        assert (await registry.Rollback(service_pb.RollbackRequest(version=4))).version == 6


async def test_entries_of_the_oldest_version_tell_what_it_replaced(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with serving_few(settings, clock, keep_versions=1, keep_days=0) as registry:
        # given a newest version that created, updated and removed
        await apply(registry, provider("updated"), provider("removed"), apply_set="s")
        await apply(
            registry,
            provider("updated", timeout={"seconds": 1}),
            provider("created"),
            apply_set="s",
            prune=True,
        )

        # when all others are gone
        await oldest_is(registry, clock, 3)

        # then
        entries = (await registry.ListAuditEntries(service_pb.ListAuditEntriesRequest())).entries
        assert [(e.version, e.ref.id, e.action) for e in entries] == [
            (3, "updated", service_pb.CHANGE_ACTION_UPDATED),
            (3, "removed", service_pb.CHANGE_ACTION_REMOVED),
            (3, "created", service_pb.CHANGE_ACTION_CREATED),
        ]
        assert entries[0].before.provider.timeout.seconds == 300
        assert entries[1].before.provider.id == "removed"


async def test_a_watcher_whose_version_went_gets_everything(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with serving_few(settings, clock, keep_versions=2, keep_days=0) as registry:
        # given
        await publish(registry, 4)
        part: Any = await registry.GetSnapshot(service_pb.GetSnapshotRequest()).read()
        await oldest_is(registry, clock, 4)

        # when watchers with versions 3 and 4 come back
        frames: list[Any] = []
        for version in (3, 4):
            request = service_pb.WatchSnapshotRequest(
                after_version=version, incarnation=part.incarnation
            )
            async with streaming(registry.WatchSnapshot(request)) as call:
                frames.append(await call.read())

    # then
    assert [(one.from_version, one.to_version) for one in frames] == [(0, 5), (4, 5)]


def large(letter: str) -> Sequence[pb.Resource]:
    """Many times what a connection buffers."""
    return [agent(f"a{n:02}", system_prompt=letter * 400_000) for n in range(24)]


async def test_a_slow_watcher_of_a_version_that_goes_ends_at_the_newest(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with serving_few(settings, clock, keep_versions=1, keep_days=0) as registry:
        # given a watcher that has read one part of many
        await apply(registry, provider(), model())
        await apply(registry, *large("x"))
        request = service_pb.WatchSnapshotRequest()
        async with streaming(registry.WatchSnapshot(request)) as call:
            first: Any = await call.read()
            assert not first.last_part

            # when everything changes and that version is retired
            await apply(registry, *large("y"))
            await apply(registry, provider("late"))
            await oldest_is(registry, clock, 5)
            frames: list[Any] = [first]
            parts: list[Any] = [first]
            while not (frames[-1].last_part and frames[-1].to_version == 5):
                frames.append(await call.read())
                parts = [] if frames[-1].part == 0 else parts
                parts.append(frames[-1])

    # then the change is broken off, and the next one is the whole newest version
    assert (frames[0].from_version, frames[0].to_version) == (0, 3)
    assert not any(one.last_part for one in frames if one.to_version == 3)
    assert {(one.from_version, one.to_version) for one in parts} == {(0, 5)}
    assert [one.part for one in parts] == list(range(len(parts)))
    prompts = {i.upserted.agent.system_prompt[:1] for p in parts for i in p.items}
    assert prompts == {"", "y"}


async def test_a_slow_reader_of_a_version_that_goes_is_told(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with serving_few(settings, clock, keep_versions=1, keep_days=0) as registry:
        # given a reader that has read one part of many
        await apply(registry, provider(), model())
        await apply(registry, *large("x"))
        async with streaming(registry.GetSnapshot(service_pb.GetSnapshotRequest())) as call:
            parts: list[Any] = [await call.read()]

            # when that version is retired
            await apply(registry, *large("y"))
            await oldest_is(registry, clock, 4)

            async def rest() -> None:
                while True:
                    parts.append(await call.read())

            facts = await refused(rest())

    # then
    assert facts.reason == "VERSION_NOT_FOUND"
    assert (facts.metadata["version"], facts.metadata["oldest"]) == ("3", "4")
    assert not any(part.last_part for part in parts)
    assert {i.agent.system_prompt[:1] for p in parts for i in p.resources} <= {"", "x"}


async def test_a_round_takes_many_small_steps(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    """1,500 contents of one version that nobody needs are not deleted in one transaction."""
    # given
    async with serving_few(settings, clock) as registry:
        for timeout in (1, 2, 3):
            many = [provider(f"p{n:03}", timeout={"seconds": timeout}) for n in range(750)]
            await apply(registry, *many)
        await apply(registry, provider("p000"))
        await apply(registry, provider("p000", timeout={"seconds": 5}))

    # when
    async with store_of(settings.database_url, clock) as store:
        retention = Retention(store, Keeping(1, AT_ONCE), clock)
        spec = "registry.versions_retired=error@9,registry.contents_swept=error@9"
        with failpoints.armed(spec) as places:
            await retention.round()

    # then what version 6 replaced is still told
    assert CONTENTS_PER_STEP == 500
    assert places["registry.versions_retired"].reached == 1
    assert places["registry.contents_swept"].reached == 4
    async with serving_few(settings, clock) as registry:
        (entry,) = (await registry.ListAuditEntries(service_pb.ListAuditEntriesRequest())).entries
        assert (entry.version, entry.before.provider.timeout.seconds) == (6, 300)


@pytest.mark.parametrize(
    "spec",
    [
        "registry.versions_retired=error@1",
        "registry.contents_swept=error@1",
        "store.committed=error@2",
    ],
)
async def test_a_round_that_was_interrupted_is_finished_by_the_next(
    settings: RegistrySettings, clock: ManualClock, spec: str
) -> None:
    # given 1,400 contents of 1,401 versions behind the current one
    async with serving_few(settings, clock) as registry:
        for timeout in (1, 2):
            many = [provider(f"p{n:03}", timeout={"seconds": timeout}) for n in range(700)]
            await apply(registry, *many)
        await publish(registry, 4)
        _, before = await everything(registry)

    async with store_of(settings.database_url, clock) as store:
        retention = Retention(store, Keeping(2, AT_ONCE), clock)

        # when it fails between two steps
        with failpoints.armed(spec), pytest.raises(FailpointError):
            await retention.round()
        head = await store.read(lambda reads: reads.head())

        # then versions and their number agree at once, and the next round removes the rest
        first = await store.read(lambda reads: reads.published_first(1))
        assert first[0].version == head.oldest_version
        await retention.round()
        head = await store.read(lambda reads: reads.head())
        assert (head.oldest_version, head.version) == (6, 7)
        assert await store.write(lambda tx: tx.sweep(1)) == 0
    async with serving_few(settings, clock) as registry:
        assert (await everything(registry))[1] == before


async def test_two_replicas_retire_beside_each_other(postgres_url: str, clock: ManualClock) -> None:
    """And beside writers: nobody is refused, nothing is lost."""
    # given
    settings = RegistrySettings(listen="127.0.0.1:0", database_url=postgres_url)
    async with serving_few(settings, clock) as registry:
        for timeout in (1, 2):
            many = [provider(f"p{n:03}", timeout={"seconds": timeout}) for n in range(600)]
            await apply(registry, *many)

        # when two processes retire while four writers publish
        async with store_of(postgres_url, clock) as one, store_of(postgres_url, clock) as other:
            rounds = [
                Retention(store, Keeping(2, AT_ONCE), clock).round()
                for store in (one, other, one, other)
            ]
            writers = [apply(registry, provider(f"w{n}")) for n in range(12)]
            await asyncio.gather(*rounds, *writers)
            await Retention(one, Keeping(2, AT_ONCE), clock).round()

        # then
        assert await kept(registry) == [15, 14]
        assert len((await everything(registry))[1]) == 612
