"""Batches of a subscription: what travels together, and what is sent while nothing happens."""

from __future__ import annotations

import asyncio

import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.drain import Drain
from services.chassis.errors import InvalidRequestError
from services.chassis.notifier import LocalNotifier
from services.runcontrol.api.events import ProtobufCodec
from services.runcontrol.api.subscriptions import MAX_ITEM_BYTES, RunSubscriptions
from services.runcontrol.core.events import TextDelta
from services.runcontrol.core.ports import run_channel
from tests.support.runcontrol_memory import MemoryStore, MemoryTx
from tests.unit.runcontrol.world import World, now


class EncodingStore(MemoryStore):
    """The memory store with events as they are sent."""

    async def read(self, fn):  # type: ignore[no-untyped-def]  # as the base class has it
        return fn(MemoryTx(self.tables, ProtobufCodec().encode_event))


def subscriptions(world: World) -> RunSubscriptions:
    return RunSubscriptions(world.runs, LocalNotifier(world.clock), world.clock, Drain())


async def test_an_idle_stream_beats_every_ten_seconds() -> None:
    # given a subscriber that has seen everything there is of a queued run
    world = World(store=EncodingStore())
    run_id = world.submit().run_id
    request = service.SubscribeRunRequest(run_id=run_id)
    stream = subscriptions(world).follow(LOCAL_PRINCIPAL, request)
    (*_, newest) = await anext(stream)

    # when ten seconds pass
    beat = asyncio.ensure_future(anext(stream))
    while not beat.done():
        world.clock.advance(0.5)
        await asyncio.sleep(0)
    (item,) = beat.result()
    await stream.aclose()

    # then the server says that it lives, and how far it has got
    assert item.WhichOneof("item") == "heartbeat"
    assert item.heartbeat.cursor == item.cursor == newest.cursor


async def test_a_response_stays_small() -> None:
    # given a run with three deltas that nearly fill a response each
    world = World(store=EncodingStore())
    run_id = world.submit().run_id
    claimed = world.claim_one()
    big = "x" * (MAX_ITEM_BYTES - 1000)
    now(world.execution.record(claimed, tuple(TextDelta(big) for _ in range(3))))
    world.cancel(run_id=run_id)
    world.advance(claimed)

    # when it is followed to its end
    request = service.SubscribeRunRequest(run_id=run_id)
    batches = [b async for b in subscriptions(world).follow(LOCAL_PRINCIPAL, request)]

    # then they travel apart
    assert len(batches) >= 3
    assert all(sum(i.ByteSize() for i in batch) < MAX_ITEM_BYTES + 4096 for batch in batches)
    seqs = [item.event.run_seq for batch in batches for item in batch]
    assert seqs == list(range(1, world.run().event_seq + 1))


async def test_only_what_comes_is_sent_when_asked_for() -> None:
    # given a finished run
    world = World(store=EncodingStore())
    world.start()
    run_id = world.run().run_id
    request = service.SubscribeRunRequest(run_id=run_id, start=service.SUBSCRIBE_FROM_NOW)

    # when it is followed from now on, and from an unknown start
    batches = [b async for b in subscriptions(world).follow(LOCAL_PRINCIPAL, request)]
    request.start = 99  # type: ignore[assignment]  # unknown on purpose
    with pytest.raises(InvalidRequestError):
        await anext(subscriptions(world).follow(LOCAL_PRINCIPAL, request))

    # then there is nothing to come
    assert batches == []


class CountingStore(EncodingStore):
    """Counts the reads of events; each takes a turn of the loop."""

    reads = 0

    async def read(self, fn):  # type: ignore[no-untyped-def]  # as the base class has it
        self.reads += 1
        await asyncio.sleep(0)
        return await super().read(fn)  # type: ignore[no-untyped-call]  # as above


async def test_the_subscribers_of_a_run_share_what_is_read() -> None:
    # given fifty who have seen everything there is of a run
    store = CountingStore()
    world = World(store=store)
    run_id = world.submit().run_id
    claimed = world.claim_one()
    notifier = LocalNotifier(world.clock)
    shared = RunSubscriptions(world.runs, notifier, world.clock, Drain())
    seen: list[list[int]] = [[] for _ in range(50)]

    async def subscribe(found: list[int]) -> None:
        request = service.SubscribeRunRequest(run_id=run_id)
        async for batch in shared.follow(LOCAL_PRINCIPAL, request):
            found += [item.event.run_seq for item in batch]

    subscribers = [asyncio.ensure_future(subscribe(found)) for found in seen]
    for _ in range(60):
        await asyncio.sleep(0)
    store.reads = 0

    # when something happens
    now(world.execution.record(claimed, (TextDelta("x"),)))
    notifier.ring(run_channel(LOCAL_PRINCIPAL.tenant, run_id))
    for _ in range(60):
        await asyncio.sleep(0)

    # then one read tells them all
    assert seen == [list(range(1, world.run().event_seq + 1))] * 50
    assert store.reads <= 2
    for each in subscribers:
        each.cancel()
    await asyncio.gather(*subscribers, return_exceptions=True)
