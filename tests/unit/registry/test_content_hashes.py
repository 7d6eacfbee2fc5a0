"""The loop that writes content hashes down: soon after, together, and without doing it twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.chassis.notifier import LocalNotifier
from services.registry.core.hashing import content_hashes
from services.registry.core.history_ports import VersionFilter
from services.registry.core.model import BuiltinAdapter, Provider
from services.registry.engine.hashing import ContentHashes
from tests.support.registry_bench import Bench
from tests.support.tasks import running
from tests.support.turns import until

PROVIDER = Provider("p", BuiltinAdapter())
CHANNEL = "versions"
POINT = "registry.versions_hashed"


class House:
    """A registry over dictionaries and the loop beside it."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.notifier = LocalNotifier(self.bench.clock)
        self.hashes = ContentHashes(
            self.bench.store, notifier=self.notifier, channel=CHANNEL, clock=self.bench.clock
        )

    async def publish(self, versions: int) -> None:
        for _ in range(versions):
            age = timedelta(seconds=(await self.bench.head()).version)
            await self.bench.apply(replace(PROVIDER, timeout=age))
            self.notifier.ring(CHANNEL)

    async def unhashed(self) -> list[int]:
        found = await self.bench.store.read(lambda reads: reads.unhashed(1000))
        return [each.version for each in found]


async def test_versions_that_come_together_are_hashed_together() -> None:
    # given a loop that has hashed what there was
    house = House()
    await house.publish(2)
    with failpoints.armed(f"{POINT}=error@9") as places:
        async with running(house.hashes.run()):
            await until(lambda: house.bench.clock.sleepers > 0)
            assert await house.unhashed() == []

            # when five versions come, and time passes
            await house.publish(5)
            assert await house.unhashed() == [8, 7, 6, 5, 4]
            await until(lambda: places[POINT].reached == 2, lambda: house.bench.clock.advance(0.1))

    # then they are what a reader would have computed
    found = await house.bench.store.read(lambda reads: reads.published(VersionFilter(), 8, 9))
    computed = await house.bench.store.read(lambda reads: content_hashes(reads, range(1, 9)))
    assert {each.version: each.content_hash for each in found} == computed


async def test_a_long_past_is_hashed_in_several_steps() -> None:
    house = House()
    await house.publish(249)

    with failpoints.armed(f"{POINT}=error@9") as places:
        await house.hashes.fill()

    assert places[POINT].reached == 3
    assert await house.unhashed() == []


async def test_what_was_interrupted_is_done_by_the_next_round() -> None:
    # given
    house = House()
    await house.publish(149)
    with failpoints.armed(f"{POINT}=error@2"), pytest.raises(FailpointError):
        await house.hashes.fill()
    assert await house.unhashed() == list(range(50, 0, -1))

    # when
    await house.hashes.fill()

    # then
    assert await house.unhashed() == []
