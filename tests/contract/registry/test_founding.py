"""The first start of a registry, by several at once."""

from __future__ import annotations

import asyncio

from services.chassis import failpoints
from services.registry.store.store import SqlStore
from tests.contract.registry.databases import open_database
from tests.support.clock import ManualClock
from tests.support.postgres import execute, schema_of

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = '{}' AND wait_event_type = 'Lock'
"""


async def _somebody_waits(url: str) -> None:
    query = _WAITING.format(schema_of(url))
    while await asyncio.to_thread(execute, url, query) == [(0,)]:
        pass


async def test_of_two_that_found_at_once_one_does(postgres_url: str) -> None:
    async with open_database(postgres_url) as one, open_database(postgres_url) as other:
        # given the first, about to commit
        with failpoints.armed("store.committing=hang@1") as armed:
            first = asyncio.ensure_future(SqlStore(one, ManualClock()).initialise("first"))
            await asyncio.to_thread(armed["store.committing"].acted.wait)

            # when another one starts
            second = asyncio.ensure_future(SqlStore(other, ManualClock()).initialise("second"))
            await _somebody_waits(postgres_url)

        # then both serve what the first has founded
        assert await first == await second
        assert (await first).incarnation == "first"
