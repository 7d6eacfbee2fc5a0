"""Subscriptions: the size of batches, heartbeats, and the shared reading of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.drain import Drain
from services.chassis.errors import InvalidRequestError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.errors import read_too_long
from services.runcontrol.api import read_requests, read_responses
from services.runcontrol.api.codec import ProtobufCodec
from services.runcontrol.core.errors import ThreadNotFoundError
from services.runcontrol.core.events import TextDelta
from services.runcontrol.core.model import run_channel
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.subscribing import MAX_FRAME_BYTES
from services.runcontrol.engine.streams import FeedRunStreams
from tests.support.callers import LOCAL
from tests.support.memory_runcontrol import MemoryStore
from tests.support.waiting import until
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now, run_until_idle


@pytest.fixture
def system() -> InMemoryRunControl:
    """The use cases over a store that has events as they are sent."""
    return InMemoryRunControl(store=MemoryStore(ProtobufCodec().encode_event))


def streams(system: InMemoryRunControl) -> FeedRunStreams:
    notifier = LocalNotifier(system.clock)
    return FeedRunStreams(system.runs, Reading(system.store), notifier, system.clock, Drain())


async def follow(
    streams: FeedRunStreams, run_id: str, start: int = 0
) -> AsyncGenerator[Sequence[service.SubscriptionItem], None]:
    """Batches of items, as they are sent."""
    request = service.SubscribeRunRequest(run_id=run_id, start=start)
    command = read_requests.subscribe_from_pb(request)
    async with aclosing(streams.follow(LOCAL, command)) as items:
        async for item in items:
            yield read_responses.run_item_to_pb(run_id, item).items


async def test_an_idle_stream_sends_a_heartbeat_every_ten_seconds(
    system: InMemoryRunControl,
) -> None:
    # given a subscriber that has received every event of a queued run
    run_id = system.submit().run_id
    stream = follow(streams(system), run_id)
    (*_, newest) = await anext(stream)

    # when ten seconds pass
    beat = asyncio.ensure_future(anext(stream))
    await until(beat.done, lambda: system.clock.advance(0.5))
    (item,) = beat.result()
    await stream.aclose()

    # then a heartbeat names the newest sequence and the server's time
    assert item.WhichOneof("item") == "heartbeat"
    assert item.heartbeat.cursor == item.cursor == newest.cursor


async def test_a_response_has_at_most_about_64_kib(system: InMemoryRunControl) -> None:
    # given a run with three deltas that each nearly fill a response
    claimed = system.claim_new()
    run_id = claimed.run.run_id
    big = "x" * (MAX_FRAME_BYTES - 1000)
    now(system.execution.record(claimed, tuple(TextDelta(big) for _ in range(3))))
    system.cancel(run_id=run_id)
    system.advance(claimed)

    # when it is followed to its end
    batches = [batch async for batch in follow(streams(system), run_id)]

    # then each is in a response of its own
    assert len(batches) >= 3
    assert all(sum(i.ByteSize() for i in batch) < MAX_FRAME_BYTES + 4096 for batch in batches)
    seqs = [item.event.run_seq for batch in batches for item in batch]
    assert seqs == list(range(1, system.run().event_seq + 1))


async def test_a_stream_from_now_has_only_later_events(system: InMemoryRunControl) -> None:
    # given a finished run
    system.start()
    run_id = system.run().run_id
    from_now = service.SUBSCRIBE_FROM_NOW

    # when it is followed from now, and from an unknown start
    batches = [batch async for batch in follow(streams(system), run_id, from_now)]
    with pytest.raises(InvalidRequestError):
        await anext(follow(streams(system), run_id, 99))

    # then the first has no events, and the other is refused
    assert batches == []


class CountingStore(MemoryStore):
    """Counts the reads of events; each gives way to other tasks once.

    Attributes:
        failing_read: The one that fails; 0 for none.
    """

    reads = 0
    failing_read = 0

    async def read(self, fn):  # type: ignore[no-untyped-def]  # as the base class has it
        self.reads += 1
        failing = self.reads == self.failing_read
        await asyncio.sleep(0)
        if failing:
            raise read_too_long()
        return await super().read(fn)  # type: ignore[no-untyped-call]  # as above


class SubscribedRun:
    """A run with fifty subscribers, which have received every event of it."""

    def __init__(self) -> None:
        self.store = CountingStore(ProtobufCodec().encode_event)
        self.system = InMemoryRunControl(store=self.store)
        self.claimed = self.system.claim_new()
        self._notifier = LocalNotifier(self.system.clock)
        reading, clock = Reading(self.store), self.system.clock
        self._streams = FeedRunStreams(self.system.runs, reading, self._notifier, clock, Drain())
        self.seen: list[list[int]] = [[] for _ in range(50)]
        self.subscribers: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> SubscribedRun:
        self.subscribers = [asyncio.ensure_future(self._subscribe(each)) for each in self.seen]
        await run_until_idle()
        self.store.reads = 0
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.subscribers:
            each.cancel()
        await asyncio.gather(*self.subscribers, return_exceptions=True)

    async def commit(self) -> None:
        now(self.system.execution.record(self.claimed, (TextDelta("x"),)))
        self._notifier.notify(run_channel(LOCAL_PRINCIPAL.tenant, self.claimed.run.run_id))
        await run_until_idle()

    @property
    def all_seqs(self) -> list[int]:
        return list(range(1, self.system.run().event_seq + 1))

    async def _subscribe(self, found: list[int]) -> None:
        async for batch in follow(self._streams, self.claimed.run.run_id):
            found += [item.event.run_seq for item in batch]


async def test_the_subscribers_of_a_run_share_one_read() -> None:
    # given
    async with SubscribedRun() as run:
        # when an event is committed
        await run.commit()

        # then one read serves all of them
        assert run.seen == [run.all_seqs] * 50
        assert run.store.reads <= 2


async def test_the_subscribers_of_a_run_outlive_a_failed_read() -> None:
    # given a store whose next read fails
    async with SubscribedRun() as run:
        run.store.failing_read = 1

        # when an event is committed, and a moment passes
        await run.commit()
        assert run.all_seqs not in run.seen
        run.system.clock.advance(0.2)
        await run_until_idle()

        # then all of them have it, and go on
        assert run.seen == [run.all_seqs] * 50
        assert not any(each.done() for each in run.subscribers)
        assert run.store.reads <= 4


async def follow_thread(
    streams: FeedRunStreams, thread_id: str
) -> AsyncGenerator[Sequence[service.SubscriptionItem], None]:
    """Batches of items, as they are sent."""
    request = service.SubscribeThreadRequest(thread_id=thread_id)
    command = read_requests.subscribe_thread_from_pb(request)
    async with aclosing(streams.follow_thread(LOCAL, command)) as items:
        async for item in items:
            yield read_responses.thread_item_to_pb(thread_id, item).items


async def test_the_stream_of_a_thread_goes_on_after_a_run_has_ended(
    system: InMemoryRunControl,
) -> None:
    # given a thread whose run has ended, and a subscriber that has received all of it
    system.start()
    thread_id, end = system.run().thread_id, system.run().event_seq
    stream = follow_thread(streams(system), thread_id)
    received = [item.event.thread_seq for item in await anext(stream)]

    # when ten seconds pass
    beat = asyncio.ensure_future(anext(stream))
    await until(beat.done, lambda: system.clock.advance(0.5))
    (item,) = beat.result()
    await stream.aclose()

    # then the stream has every event, and is still there
    assert received == list(range(1, end + 1))
    assert item.WhichOneof("item") == "heartbeat"


async def test_the_events_of_a_thread_that_does_not_exist_are_not_found(
    system: InMemoryRunControl,
) -> None:
    with pytest.raises(ThreadNotFoundError):
        await Reading(system.store).events(LOCAL, "none", 0, 64)
