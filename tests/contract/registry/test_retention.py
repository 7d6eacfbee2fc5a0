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
from services.chassis import failpoints
from services.chassis.calls.streaming import streaming
from services.chassis.failpoints import FailpointError
from services.registry.core.history.retaining import RetentionPolicy
from services.registry.engine.retention import CONTENTS_PER_STEP, Retention
from services.registry.settings import RegistrySettings
from services.registry.store.store import SqlStore
from tests.contract.registry.calls import Client, named, refused, settings_of, span, started
from tests.contract.registry.databases import open_database
from tests.support.clock import ManualClock
from tests.support.profiles import both_in_chaos
from tests.support.registry_resources import agent, model, provider

AT_ONCE = timedelta()


@asynccontextmanager
async def store_of(url: str, clock: ManualClock) -> AsyncIterator[SqlStore]:
    """Beside the server on PostgreSQL, after it on SQLite."""
    async with open_database(url) as opened:
        yield SqlStore(opened, clock)


def keeping(settings: RegistrySettings, versions: int, days: float = 0) -> RegistrySettings:
    return settings.model_copy(update={"keep_versions": versions, "keep_days": days})


async def kept(registry: Client) -> list[int]:
    return [one.version for one in (await registry.versions(page_size=1000)).versions]


async def oldest_is(registry: Client, clock: ManualClock, version: int) -> None:
    """Let time pass until it is."""
    oldest = 0
    while oldest != version:
        clock.advance(30)
        oldest = (await kept(registry))[-1]


async def publish(registry: Client, versions: int, providers: Sequence[str] = ("a",)) -> None:
    """Change all of ``providers`` in each version."""
    for seconds in range(1, versions + 1):
        await registry.apply(*(provider(id_, timeout={"seconds": seconds}) for id_ in providers))


@both_in_chaos
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
    async with started(settings, clock) as registry:
        await publish(registry, 4)
        clock.advance(2 * 86_400)
        await publish(registry, 5)
        _, before = await registry.everything()

    # when
    async with started(keeping(settings, keep_versions, keep_days), clock) as registry:
        await oldest_is(registry, clock, oldest)

        # then the rest is as it was
        assert await kept(registry) == list(range(10, oldest - 1, -1))
        assert (await registry.everything())[1] == before


async def test_what_is_no_longer_kept_is_not_found(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with started(keeping(settings, 2), clock) as registry:
        # given that versions 4 and 5 are kept
        await publish(registry, 4)
        await oldest_is(registry, clock, 4)

        # when version 3 is asked for, in every way
        calls: list[Any] = [
            registry.snapshot(3),
            registry.diff(from_version=3),
            registry.diff(from_version=4, to_version=3),
            registry.roll_back(version=3),
        ]
        found = [await refused(call) for call in calls]

        # then
        assert {facts.reason for facts in found} == {"VERSION_NOT_FOUND"}
        assert {facts.metadata["oldest"] for facts in found} == {"4"}
        assert {facts.metadata["current"] for facts in found} == {"5"}
        assert (await registry.roll_back(version=4)).version == 6


async def test_entries_of_the_oldest_version_tell_what_it_replaced(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with started(keeping(settings, 1), clock) as registry:
        # given a newest version that created, updated and removed
        await registry.apply(provider("updated"), provider("removed"), apply_set="s")
        await registry.apply(
            provider("updated", timeout={"seconds": 1}),
            provider("created"),
            apply_set="s",
            prune=True,
        )

        # when all others are gone
        await oldest_is(registry, clock, 3)

        # then
        entries = (await registry.audit()).entries
        expected = [("updated", "updated"), ("removed", "removed"), ("created", "created")]
        assert named(entries) == expected
        assert {entry.version for entry in entries} == {3}
        assert entries[0].before.provider.timeout.seconds == 300
        assert entries[1].before.provider.id == "removed"


async def test_a_watcher_whose_version_went_gets_everything(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with started(keeping(settings, 2), clock) as registry:
        # given
        await publish(registry, 4)
        (had,) = await registry.snapshot()
        await oldest_is(registry, clock, 4)

        # when watchers with versions 3 and 4 come back
        spans = []
        for version in (3, 4):
            async with registry.watching(version, had.incarnation) as watch:
                spans.append(span(await watch.change()))

    # then
    assert spans == [(0, 5), (4, 5)]


def large(letter: str) -> Sequence[pb.Resource]:
    """Many times what a connection buffers."""
    return [agent(f"a{n:02}", system_prompt=letter * 400_000) for n in range(24)]


async def test_a_slow_watcher_of_a_version_that_goes_ends_at_the_newest(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with started(keeping(settings, 1), clock) as registry:
        # given a watcher that has read one part of many
        await registry.apply(provider(), model())
        await registry.apply(*large("x"))
        async with registry.watching() as watch:
            frames = [await watch.frame()]
            assert not frames[0].last_part

            # when everything changes and that version is retired
            await registry.apply(*large("y"))
            await registry.apply(provider("late"))
            await oldest_is(registry, clock, 5)
            parts = frames[:]
            while not (frames[-1].last_part and frames[-1].to_version == 5):
                frames.append(await watch.frame())
                parts = [] if frames[-1].part == 0 else parts
                parts.append(frames[-1])

    # then the change is broken off, and the next one is the whole newest version
    assert span(frames) == (0, 3)
    assert not any(one.last_part for one in frames if one.to_version == 3)
    assert {(one.from_version, one.to_version) for one in parts} == {(0, 5)}
    assert [one.part for one in parts] == list(range(len(parts)))
    prompts = {i.upserted.agent.system_prompt[:1] for p in parts for i in p.items}
    assert prompts == {"", "y"}


async def test_a_slow_reader_of_a_version_that_goes_is_told(
    settings: RegistrySettings, clock: ManualClock
) -> None:
    async with started(keeping(settings, 1), clock) as registry:
        # given a reader that has read one part of many
        await registry.apply(provider(), model())
        await registry.apply(*large("x"))
        async with streaming(registry.GetSnapshot(service_pb.GetSnapshotRequest())) as call:
            parts: list[Any] = [await call.read()]

            # when that version is retired
            await registry.apply(*large("y"))
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
    async with started(settings, clock) as registry:
        await publish(registry, 3, [f"p{n:03}" for n in range(750)])
        await registry.apply(provider("p000"))
        await registry.apply(provider("p000", timeout={"seconds": 5}))

    # when
    async with store_of(settings.database_url, clock) as store:
        retention = Retention(store, RetentionPolicy(1, AT_ONCE), clock)
        spec = "registry.versions_retired=error@9,registry.contents_swept=error@9"
        with failpoints.armed(spec) as places:
            await retention.round()

    # then what version 6 replaced is still told
    assert CONTENTS_PER_STEP == 500
    assert places["registry.versions_retired"].reached == 1
    assert places["registry.contents_swept"].reached == 4
    async with started(settings, clock) as registry:
        (entry,) = (await registry.audit()).entries
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
    async with started(settings, clock) as registry:
        await publish(registry, 2, [f"p{n:03}" for n in range(700)])
        await publish(registry, 4)
        _, before = await registry.everything()

    async with store_of(settings.database_url, clock) as store:
        retention = Retention(store, RetentionPolicy(2, AT_ONCE), clock)

        # when it fails between two steps
        with failpoints.armed(spec), pytest.raises(FailpointError):
            await retention.round()
        head = await store.read(lambda reads: reads.head())

        # then versions and their number agree at once, and the next round removes the rest
        first = await store.read(lambda reads: reads.oldest_published(1))
        assert first[0].version == head.oldest_version
        await retention.round()
        head = await store.read(lambda reads: reads.head())
        assert (head.oldest_version, head.version) == (6, 7)
        assert await store.write(lambda tx: tx.sweep(1)) == 0
    async with started(settings, clock) as registry:
        assert (await registry.everything())[1] == before


async def test_two_replicas_retire_beside_each_other(postgres_url: str, clock: ManualClock) -> None:
    """And beside writers: nobody is refused, nothing is lost."""
    # given
    async with started(settings_of(postgres_url), clock) as registry:
        await publish(registry, 2, [f"p{n:03}" for n in range(600)])

        # when two processes retire while four writers publish
        async with store_of(postgres_url, clock) as one, store_of(postgres_url, clock) as other:
            rounds = [
                Retention(store, RetentionPolicy(2, AT_ONCE), clock).round()
                for store in (one, other, one, other)
            ]
            writers = [registry.apply(provider(f"w{n}")) for n in range(12)]
            await asyncio.gather(*rounds, *writers)
            await Retention(one, RetentionPolicy(2, AT_ONCE), clock).round()

        # then
        assert await kept(registry) == [15, 14]
        assert len((await registry.everything())[1]) == 612
