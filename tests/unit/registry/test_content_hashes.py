"""The loop that writes content hashes down: soon after, together, and without doing it twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.chassis.follow.notifier import LocalNotifier
from services.registry.core.history.hashing import content_hashes
from services.registry.core.model import BuiltinAdapter, Provider
from services.registry.core.stored import VersionFilter
from services.registry.engine.content_hashes import ContentHashes
from tests.support.background import running
from tests.support.registry_use_cases import UseCases
from tests.support.waiting import until

PROVIDER = Provider("p", BuiltinAdapter())
CHANNEL = "versions"
POINT = "registry.versions_hashed"


class HashingRegistry:
    """A registry over dictionaries and the loop that hashes its versions."""

    def __init__(self) -> None:
        self.use_cases = UseCases()
        self.notifier = LocalNotifier(self.use_cases.clock)
        self.hashes = ContentHashes(
            self.use_cases.store,
            notifier=self.notifier,
            channel=CHANNEL,
            clock=self.use_cases.clock,
        )

    async def publish(self, versions: int) -> None:
        for _ in range(versions):
            age = timedelta(seconds=(await self.use_cases.head()).version)
            await self.use_cases.apply(replace(PROVIDER, timeout=age))
            self.notifier.notify(CHANNEL)

    async def unhashed(self) -> list[int]:
        found = await self.use_cases.store.read(lambda reads: reads.unhashed(1000))
        return [each.version for each in found]


async def test_versions_that_come_together_are_hashed_together() -> None:
    # given a loop that has hashed what there was
    registry = HashingRegistry()
    await registry.publish(2)
    with failpoints.armed(f"{POINT}=error@9") as places:
        async with running(registry.hashes.run()):
            await until(lambda: registry.use_cases.clock.sleepers > 0)
            assert await registry.unhashed() == []

            # when five versions come, and time passes
            await registry.publish(5)
            assert await registry.unhashed() == [8, 7, 6, 5, 4]
            await until(
                lambda: places[POINT].reached == 2, lambda: registry.use_cases.clock.advance(0.1)
            )

    # then they are what a reader would have computed
    found = await registry.use_cases.store.read(
        lambda reads: reads.published(VersionFilter(), 8, 9)
    )
    computed = await registry.use_cases.store.read(lambda reads: content_hashes(reads, range(1, 9)))
    assert {each.version: each.content_hash for each in found} == computed


async def test_a_long_past_is_hashed_in_several_steps() -> None:
    registry = HashingRegistry()
    await registry.publish(249)

    with failpoints.armed(f"{POINT}=error@9") as places:
        await registry.hashes.fill()

    assert places[POINT].reached == 3
    assert await registry.unhashed() == []


async def test_what_was_interrupted_is_done_by_the_next_round() -> None:
    # given
    registry = HashingRegistry()
    await registry.publish(149)
    with failpoints.armed(f"{POINT}=error@2"), pytest.raises(FailpointError):
        await registry.hashes.fill()
    assert await registry.unhashed() == list(range(50, 0, -1))

    # when
    await registry.hashes.fill()

    # then
    assert await registry.unhashed() == []
