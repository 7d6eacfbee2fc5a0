"""Two pool servers on one database: a pool is one pool, and a wake is told once."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import grpc

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from tests.contract.pool.conftest import Serve
from tests.contract.pool.requests import POOL, RUN_A, RUN_B, opened, seconds, send, suspend, wake
from tests.support.engines import on_postgresql
from tests.support.fake_runcontrol import FakeRunControl


@on_postgresql
async def test_a_wake_that_two_servers_could_tell_is_told_once(
    serve: Serve, runcontrol: FakeRunControl
) -> None:
    async with serve() as first, serve() as second:
        # given waits, some of which end by a message and some by their time
        await opened(first, RUN_A, RUN_B)
        for number in range(10):
            await first.SuspendUntil(suspend(RUN_B, f"message-{number}"))
            await second.SuspendUntil(suspend(RUN_B, f"time-{number}", timeout=seconds(0.2)))

        # when the message comes, and the time
        await second.SendMessage(send("k1"))
        told = await runcontrol.delivered(20)

        # then a last wait, behind them in the lane, shows that no other was told meanwhile
        await first.SuspendUntil(suspend(RUN_B, "last", timeout=seconds(0)))
        await runcontrol.until(lambda: any(w.condition_id == "c-last" for w in runcontrol.wakes))
        assert len(told) == 21
        assert len({each.condition_id for each in told}) == 21
        assert runcontrol.attempts == 21


@on_postgresql
async def test_a_pool_that_two_open_at_once_is_one_pool(serve: Serve) -> None:
    async with serve() as first, serve() as second:

        async def opens(stub: PoolServiceStub) -> bool:
            return (await stub.OpenPool(rpc.OpenPoolRequest(pool_id=POOL))).opened

        who = await asyncio.gather(*(opens(stub) for stub in (first, second) * 5))

        assert sum(who) == 1


@on_postgresql
async def test_numbers_of_the_log_have_no_gap_whoever_gave_them(serve: Serve) -> None:
    async with serve() as first, serve() as second:
        # given a pool, when forty messages come through both servers at once
        await opened(first, RUN_A, RUN_B)
        receipts = await asyncio.gather(
            *(stub.SendMessage(send(f"k{n}")) for n in range(20) for stub in (first, second))
        )

        # then each of the twenty keys is one message, and numbers follow each other
        ids = {answer.receipt.message_id for answer in receipts}
        assert len(ids) == 20
        pool = (await first.GetPool(rpc.GetPoolRequest(pool_id=POOL))).pool
        sequences = sorted({answer.receipt.sequence for answer in receipts})
        assert pool.head_sequence == sequences[-1]
        gaps = {later - earlier for earlier, later in pairwise(sequences)}
        assert len(gaps) == 1


@on_postgresql
async def test_what_a_dead_server_left_is_told_by_the_other(
    serve: Serve, runcontrol: FakeRunControl
) -> None:
    async with serve() as second:
        async with serve() as first:
            # given run control away, and a wake that somebody tries to tell
            await opened(first, RUN_A, RUN_B)
            runcontrol.refusals[RUN_B] = (grpc.StatusCode.UNAVAILABLE, "")
            await first.SuspendUntil(suspend(RUN_B, "w", timeout=seconds(0)))
            await runcontrol.until(lambda: runcontrol.attempts > 0)

        # when one server has stopped, and run control is back
        del runcontrol.refusals[RUN_B]
        (told,) = await runcontrol.delivered(1)

        # then the other one tells it
        assert told.condition_id == "c-w"
        ended = (await second.GetWake(wake("w"))).wake
        assert ended.state == pb.Wake.STATE_TIMED_OUT
