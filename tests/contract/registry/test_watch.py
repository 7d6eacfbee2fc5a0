"""Watching: net changes, resumption, whole snapshots, heartbeats, drain."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.chassis.server.service import Chassis, Service
from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import Client, Frame, ids, span
from tests.support.clock import ManualClock
from tests.support.registry_resources import agent, model, provider, quickstart
from tests.support.serving import serving
from tests.support.waiting import until


async def incarnation_of(registry: Client) -> str:
    async with registry.watching() as watch:
        return (await watch.frame()).incarnation


async def change_after(registry: Client, version: int, incarnation: str) -> list[Frame]:
    """The first change that a watcher gets that has ``version``."""
    async with registry.watching(version, incarnation) as watch:
        return await watch.change()


def items(parts: list[Frame]) -> list[tuple[str, str]]:
    return [
        ("removed", item.removed.id)
        if item.HasField("removed")
        else ("upserted", *ids([item.upserted]))
        for part in parts
        for item in part.items
    ]


async def test_a_new_watcher_gets_everything_then_what_changes(registry: Client) -> None:
    # given a watcher that has nothing
    await registry.apply(*quickstart())
    async with registry.watching() as watch:
        # then it gets the whole snapshot
        first = await watch.change()
        assert span(first) == (0, 2)
        assert [name for _, name in items(first)] == ["local", "small", "both", "scout", "search"]

        # and when one resource changes, that one alone
        await registry.apply(agent(model_id="both", system_prompt="be brief"))
        second = await watch.change()
        assert span(second) == (2, 3)
        assert items(second) == [("upserted", "scout")]
        (item,) = second[0].items
        assert item.upserted.agent.system_prompt == "be brief"


async def test_an_empty_registry_is_an_empty_whole_snapshot(registry: Client) -> None:
    async with registry.watching() as watch:
        parts = await watch.change()

    assert (span(parts), items(parts)) == ((0, 1), [])


async def test_a_watcher_at_the_head_gets_nothing_until_a_change(registry: Client) -> None:
    # given
    await registry.apply(provider("one"))
    async with registry.watching(2, await incarnation_of(registry)) as watch:
        arriving = asyncio.ensure_future(watch.change())
        await registry.apply(provider("one"))  # identical: no version, so no frame
        assert not arriving.done()

        # when
        await registry.apply(provider("two"))

        # then the first thing it ever gets is that change
        parts = await arriving
        assert (span(parts), items(parts)) == ((2, 3), [("upserted", "two")])


async def test_a_watcher_behind_gets_the_net_change(registry: Client) -> None:
    """Five versions in between are one change: what came and went is not in it."""
    # given version 2
    await registry.apply(provider("stays"), provider("goes"), apply_set="s")
    incarnation = await incarnation_of(registry)
    # when four versions pass
    await registry.apply(provider("passing"), apply_set="s")
    await registry.apply(provider("late", timeout={"seconds": 1}))
    await registry.apply(provider("late", timeout={"seconds": 2}))
    await registry.apply(provider("stays"), apply_set="s", prune=True)

    # then
    parts = await change_after(registry, 2, incarnation)
    assert span(parts) == (2, 6)
    assert items(parts) == [("removed", "goes"), ("upserted", "late")]
    assert parts[0].items[1].upserted.provider.timeout.seconds == 2


async def test_a_net_change_of_nothing_still_leads_to_its_version(registry: Client) -> None:
    """Whoever waits for that version has to learn that it is there."""
    # given version 2, after which something came and went
    await registry.apply(provider("stays"))
    incarnation = await incarnation_of(registry)
    await registry.apply(provider("passing"), apply_set="s")
    await registry.apply(apply_set="s", prune=True)

    # when
    parts = await change_after(registry, 2, incarnation)

    # then
    assert (span(parts), items(parts)) == ((2, 4), [])


async def test_what_was_gone_before_is_not_removed_again(registry: Client) -> None:
    # given one that came, changed and went up to version 4
    await registry.apply(provider("gone"), apply_set="s")
    await registry.apply(provider("gone", timeout={"seconds": 1}), apply_set="s")
    await registry.apply(apply_set="s", prune=True)
    incarnation = await incarnation_of(registry)
    await registry.apply(provider("new"))

    # when
    parts = await change_after(registry, 4, incarnation)

    # then
    assert (span(parts), items(parts)) == ((4, 5), [("upserted", "new")])


async def test_what_was_removed_and_made_again_is_an_upsert(registry: Client) -> None:
    # given
    await registry.apply(provider("again"), apply_set="s")
    incarnation = await incarnation_of(registry)
    await registry.apply(apply_set="s", prune=True)
    await registry.apply(provider("again", timeout={"seconds": 3}))

    # when
    parts = await change_after(registry, 2, incarnation)

    # then
    assert items(parts) == [("upserted", "again")]


@pytest.mark.parametrize(
    ("after_version", "same_incarnation"), [(2, False), (99, True), (-1, True), (0, True)]
)
async def test_a_watcher_that_cannot_be_resumed_gets_everything(
    registry: Client, after_version: int, same_incarnation: bool
) -> None:
    # given
    await registry.apply(provider("one"))
    incarnation = await incarnation_of(registry) if same_incarnation else "of another database"

    # when
    parts = await change_after(registry, after_version, incarnation)

    # then
    assert (span(parts), items(parts)) == ((0, 2), [("upserted", "one")])


async def test_a_large_change_comes_in_parts_of_64_kib(registry: Client) -> None:
    # given
    await registry.apply(provider(), model())
    async with registry.watching() as watch:
        await watch.change()

        # when 100 agents of 4 KB come at once, one of them larger than a part
        many = [agent(f"a{n:02}", system_prompt="x" * 4000) for n in range(100)]
        many[50].agent.system_prompt = "x" * 200_000
        await registry.apply(*many)
        parts = await watch.change()

    # then
    assert [part.part for part in parts] == list(range(len(parts)))
    assert {(part.from_version, part.to_version) for part in parts} == {(2, 3)}
    assert all(part.items for part in parts)
    assert len(items(parts)) == 100
    sizes = sorted(part.ByteSize() for part in parts)
    assert sizes[-1] > 200_000
    assert sizes[-2] < 80_000


async def test_a_change_while_parts_are_sent_comes_after_them(registry: Client) -> None:
    """The parts of a change all belong to one version, however long they take."""
    # given a watcher that has read one part of several
    await registry.apply(provider(), model())
    await registry.apply(*(agent(f"a{n}", system_prompt="x" * 30_000) for n in range(30)))
    async with registry.watching() as watch:
        parts = [await watch.frame()]
        assert not parts[0].last_part

        # when everything changes before it reads on
        await registry.apply(*(agent(f"a{n}", system_prompt="y" * 30_000) for n in range(30)))
        parts = await watch.rest_of(parts)
        following = await watch.change()

    # then
    prompts = {i.upserted.agent.system_prompt[:1] for p in parts for i in p.items}
    assert prompts == {"", "x"}
    assert span(parts) == (0, 3)
    assert span(following) == (3, 4)


async def test_an_idle_watch_shows_that_it_lives(registry: Client, clock: ManualClock) -> None:
    # given
    async with registry.watching() as watch:
        await watch.change()
        arriving = asyncio.ensure_future(watch.frame())

        # when 10 s pass without a change
        await until(arriving.done, lambda: clock.sleepers and clock.advance(1.0))
        frame = await arriving

    # then
    assert frame.HasField("heartbeat")
    assert (frame.from_version, frame.to_version) == (1, 1)
    assert frame.heartbeat.cursor == b"1"
    assert frame.heartbeat.server_time.ToSeconds() >= 1_767_225_600 + 10
    assert frame.incarnation


async def test_a_draining_server_says_where_to_go_on(settings: RegistrySettings) -> None:
    # given a watch on a server of its own
    given: list[Chassis] = []

    async def noting(settings: RegistrySettings, chassis: Chassis) -> Service:
        given.append(chassis)
        return await SERVICE.build(settings, chassis)

    async with serving(noting, settings) as server:
        registry = Client(server.channel)
        await registry.apply(provider("one"))
        async with registry.watching() as watch:
            await watch.change()

            # when it begins to stop
            given[0].drain.start()
            frame = await watch.frame()

            # then the last item is the cursor, and the stream ends well
            assert frame.HasField("reconnect")
            assert (frame.to_version, frame.reconnect.cursor) == (2, b"2")
            assert await watch.ended()


async def test_many_watchers_see_the_same(registry: Client) -> None:
    # given
    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(registry.watching()) for _ in range(20)]
        for watch in watches:
            await watch.change()

        # when
        await registry.apply(provider("one"))

        # then
        seen = [items(await watch.change()) for watch in watches]
    assert seen == [[("upserted", "one")]] * 20
