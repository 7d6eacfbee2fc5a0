"""The routing state as it changes, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.chassis.calls.rpc_status import reason_of
from services.chassis.calls.streaming import streaming
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    limited_pool,
    model,
    pool,
    seconds,
    served_by,
)
from tests.support.fake_provider import FakeProvider, Pause, refusal, stream, text
from tests.support.waiting import within_limit


@dataclass
class Watch:
    """An open watch, and what it has been told.

    Attributes:
        instance_ids: Those of all responses.
    """

    call: Any
    events: list[pb.RoutingEvent] = field(default_factory=list)
    instance_ids: set[str] = field(default_factory=set)

    async def until(self, kind: str, **fields: Any) -> pb.RoutingEvent:
        """Read up to an event of that kind whose fields have these values."""
        async with within_limit():
            while True:
                while self.events:
                    event = self.events.pop(0)
                    what = getattr(event, kind)
                    found = all(getattr(what, name) == value for name, value in fields.items())
                    if event.WhichOneof("event") == kind and found:
                        return event
                await self._read()

    async def whole_state(self) -> list[str]:
        """Read the state that the watch begins with; the kinds of its events."""
        kinds: list[str] = []
        async with within_limit():
            while kinds[-1:] != ["state_complete"]:
                if not self.events:
                    await self._read()
                kinds.append(self.events.pop(0).WhichOneof("event") or "")
        return kinds

    async def _read(self) -> None:
        response = await self.call.read()
        assert isinstance(response, rpc.WatchRoutingStateResponse), "the watch has ended"
        assert 1 <= len(response.events) <= 64
        self.events += response.events
        self.instance_ids.add(response.instance_id)


@asynccontextmanager
async def watching(running: RouterUnderTest, target_id: str = "") -> AsyncIterator[Watch]:
    request = rpc.WatchRoutingStateRequest(target_id=target_id)
    async with streaming(RouterServiceStub(running.channel).WatchRoutingState(request)) as call:
        yield Watch(call)


def probed(provider: FakeProvider) -> list[reg.Resource]:
    """Pool ``p``, whose home opens its circuit at once and is probed after 0.1 s."""
    at_once = reg.PoolBreaker(failure_threshold=1, cooldown=seconds(0.1))
    spare = reg.Resource(provider=reg.Provider(id="script", builtin=reg.BuiltinAdapter()))
    pooled = pool(
        "p", "m", failover_only=["spare"], breaker=at_once, retry=reg.PoolRetry(in_place=0)
    )
    return [*served_by(provider), spare, model("spare", "script"), pooled]


async def test_a_watch_begins_with_the_whole_state_and_tells_what_happens_then(
    running: RouterUnderTest,
) -> None:
    # given a pool whose home is limited, and one session that has moved
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t1")
    stub = RouterServiceStub(running.channel)
    state = await stub.GetRoutingState(rpc.GetRoutingStateRequest())

    async with watching(running) as watch:
        # when
        whole = await watch.whole_state()
        await stub.ResetMember(rpc.ResetMemberRequest(target_id="narration", member_id="first"))
        reset = await watch.until("reset")
        cleared = await watch.until("member", target_id="narration")
        await running.infer("narration", thread_id="t2")
        switched = await watch.until("switched")
        limited = await watch.until("member", target_id="narration")
        await stub.UnpinSession(rpc.UnpinSessionRequest(pool_id="narration", session="thread:t1"))
        unpinned = await watch.until("unpinned")

    # then
    assert whole == ["state_begin", "member", "member", "pinned", "state_complete"]
    assert watch.instance_ids == {state.instance_id}
    assert reset.HasField("event_time")
    assert (reset.reset.by, reset.reset.target_id, reset.reset.member_id) == (
        "local",
        "narration",
        "first",
    )
    assert not cleared.member.HasField("quota_end_time")
    assert switched.switched == pb.Switched(
        target_id="narration",
        from_member_id="first",
        to_member_id="second",
        reason=prov.FAILURE_CLASS_RATE_LIMIT,
        session="thread:t2",
    )
    assert limited.member.HasField("quota_end_time")
    assert (unpinned.unpinned.session, unpinned.unpinned.member_id) == ("thread:t1", "second")


async def test_every_step_of_a_circuit_is_told(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    """Open, half open, and open again because the caller of a probe that hangs has gone."""
    # given
    provider.answers(refusal(500))
    provider.always(stream(*text("hi"), Pause()))
    await running.apply(*probed(provider))
    await running.infer("spare")

    async with watching(running, "p") as watch:
        await watch.whole_state()

        # when the home fails, its cool-down passes, and the caller of the probe goes away
        await running.infer("p", thread_id="t1")
        opened = await watch.until("member", breaker=pb.BREAKER_STATE_OPEN)
        due = await watch.until("member", breaker=pb.BREAKER_STATE_OPEN)
        call = running.call("p")
        half_open = await watch.until("member", breaker=pb.BREAKER_STATE_HALF_OPEN)
        await provider.until(pauses=1)
        call.cancel()
        again = await watch.until("member", breaker=pb.BREAKER_STATE_OPEN)

    # then no further call was made
    assert due.member == opened.member
    assert (opened.member.generation, opened.member.last_failure) == (
        1,
        prov.FAILURE_CLASS_SERVER_ERROR,
    )
    assert (half_open.member.generation, half_open.member.probes_in_flight) == (2, 1)
    assert again.member.generation == 3
    assert len(provider.requests) == 2


async def test_a_watch_of_one_target_is_told_of_that_alone(running: RouterUnderTest) -> None:
    # given
    await running.apply(*limited_pool(), pool("other", "first", failover_only=["second"]))
    await running.infer("second")

    async with watching(running, "other") as watch:
        whole = await watch.whole_state()

        # when sessions of both pools move
        await running.infer("narration", thread_id="t")
        await running.infer("other", thread_id="t")
        await watch.until("pinned")

        # then
        targets = {event.member.target_id for event in watch.events if event.HasField("member")}
        switched = {
            event.switched.target_id for event in watch.events if event.HasField("switched")
        }
    assert whole == ["state_begin", "state_complete"]
    assert targets | switched <= {"other"}


async def test_a_watch_ends_with_reconnect_when_the_server_drains(
    running: RouterUnderTest,
) -> None:
    # given
    await running.apply(*limited_pool())
    await running.infer("second")
    async with watching(running) as watch:
        await watch.whole_state()

        # when
        stopping = asyncio.create_task(running.stop_router())
        await watch.until("reconnect")

        # then
        assert await watch.call.read() is grpc.aio.EOF
        assert await watch.call.code() is grpc.StatusCode.OK
        await stopping


async def test_an_unknown_target_and_a_missing_snapshot_are_refused(
    running: RouterUnderTest, tmp_path: Path
) -> None:
    # given
    await running.apply(*limited_pool())
    await running.infer("second")
    alone = RouterUnderTest(tmp_path / "alone")

    # when
    async with watching(running, "naration") as watch:
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await watch.whole_state()
    await alone.start_router()
    try:
        async with watching(alone) as watch:
            with pytest.raises(grpc.aio.AioRpcError) as missing:
                await watch.whole_state()
    finally:
        await alone.stop_router()

    # then
    assert reason_of(unknown.value).reason == "TARGET_NOT_FOUND"
    assert reason_of(missing.value).reason == "SNAPSHOT_MISSING"
