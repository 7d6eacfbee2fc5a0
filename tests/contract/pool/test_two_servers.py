"""Two pool servers on one database: they open a pool once, and deliver a wake once."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import grpc
import pytest

from runyard.pool.v1 import pool_pb2 as pb
from tests.contract.pool.client import RUN_A, RUN_B, seconds
from tests.contract.pool.conftest import Serve
from tests.support.engines import on_postgresql
from tests.support.fake_runcontrol import FakeRunControl


@on_postgresql
async def test_a_wake_that_two_servers_could_deliver_is_delivered_once(
    serve: Serve, runcontrol: FakeRunControl
) -> None:
    async with serve() as first, serve() as second:
        # given waits, some of which end by a message and some by their time
        await first.opened(RUN_A, RUN_B)
        for number in range(10):
            await first.suspend(RUN_B, f"message-{number}")
            await second.suspend(RUN_B, f"time-{number}", timeout=seconds(0.2))

        # when the message comes, and the time
        await second.send("k1")
        delivered = await runcontrol.delivered(20)

        # then a last wake, behind them in the lane, shows that no other was delivered meanwhile
        await first.suspend(RUN_B, "last", timeout=seconds(0))
        await runcontrol.until(lambda: any(w.condition_id == "c-last" for w in runcontrol.wakes))
        assert len(delivered) == 21
        assert len({each.condition_id for each in delivered}) == 21
        assert runcontrol.attempts == 21


@on_postgresql
async def test_of_two_servers_that_open_a_pool_at_once_one_opens_it(serve: Serve) -> None:
    async with serve() as first, serve() as second:
        answers = await asyncio.gather(*(client.open() for client in (first, second) * 5))

        assert sum(answer.opened for answer in answers) == 1


@on_postgresql
async def test_sequences_from_two_servers_have_no_gap(serve: Serve) -> None:
    async with serve() as first, serve() as second:
        # given a pool, when forty messages come through both servers at once
        await first.opened(RUN_A, RUN_B)
        receipts = await asyncio.gather(
            *(client.send(f"k{n}") for n in range(20) for client in (first, second))
        )

        # then each of the twenty keys is one message, and numbers follow each other
        assert len({receipt.message_id for receipt in receipts}) == 20
        sequences = sorted({receipt.sequence for receipt in receipts})
        assert (await first.get()).head_sequence == sequences[-1]
        gaps = {later - earlier for earlier, later in pairwise(sequences)}
        assert len(gaps) == 1


@pytest.mark.slow
@on_postgresql
async def test_what_a_stopped_server_left_is_delivered_by_the_other(
    serve: Serve, runcontrol: FakeRunControl
) -> None:
    async with serve() as second:
        async with serve() as first:
            # given an unavailable run control, and a wake of which a delivery was tried
            await first.opened(RUN_A, RUN_B)
            runcontrol.refusals[RUN_B] = (grpc.StatusCode.UNAVAILABLE, "")
            await first.suspend(RUN_B, "w", timeout=seconds(0))
            await runcontrol.refused(RUN_B)

        # when one server has stopped, and run control is available again
        del runcontrol.refusals[RUN_B]
        (delivered,) = await runcontrol.delivered(1)

        # then the other server delivers it
        assert delivered.condition_id == "c-w"
        assert (await second.wake("w")).state == pb.Wake.STATE_TIMED_OUT
