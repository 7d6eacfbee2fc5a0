"""A pool that somebody keeps locked delays its own timers alone, on a database with replicas."""

from __future__ import annotations

import psycopg

from tests.contract.pool.client import RUN_A, RUN_B, seconds
from tests.contract.pool.conftest import Serve
from tests.support.engines import on_postgresql
from tests.support.fake_runcontrol import FakeRunControl


@on_postgresql
async def test_a_locked_pool_does_not_hold_up_the_timers_of_the_others(
    serve: Serve, runcontrol: FakeRunControl, url: str
) -> None:
    async with serve() as client:
        # given two pools, the first with more timers that are due than the loop reads at once
        for pool_id, run_id in (("pool-1", RUN_A), ("pool-2", RUN_B)):
            await client.open(pool_id)
            await client.join(run_id, pool_id=pool_id)
        with psycopg.connect(url) as shell:
            shell.execute("SELECT * FROM pool WHERE pool_id = 'pool-1' FOR UPDATE")
            with psycopg.connect(url, autocommit=True) as other:
                for number in range(70):
                    other.execute(
                        "INSERT INTO timer (tenant, pool_id, kind, subject_id, due_time)"
                        " VALUES ('default', 'pool-1', 'expiry', %s, 0)",
                        (f"m-{number:02}",),
                    )

            # when it is locked, and a wait in the second ends
            await client.suspend(RUN_B, "w", pool_id="pool-2", timeout=seconds(0.1))
            (woken,) = await runcontrol.delivered(1)

            # then it is told, and nothing of the first pool was done
            assert (woken.pool_id, woken.run_id) == ("pool-2", RUN_B)
            assert shell.execute("SELECT count(*) FROM timer").fetchone() == (70,)
            shell.rollback()
