"""The first start of a registry, by several at once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from services.chassis import failpoints
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.registry.store.registry_store import SqlRegistryStore
from services.registry.store.tables import MIGRATIONS, metadata
from tests.support.clock import ManualClock
from tests.support.postgres import execute, schema_of

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = '{}' AND wait_event_type = 'Lock'
"""


def _opened(url: str) -> AbstractAsyncContextManager[Store]:
    return open_store(
        url,
        metadata=metadata,
        migrations=MIGRATIONS,
        clock=ManualClock(),
        notifier=LocalNotifier(),
    )


async def _somebody_waits(url: str) -> None:
    query = _WAITING.format(schema_of(url))
    while await asyncio.to_thread(execute, url, query) == [(0,)]:
        pass


async def test_of_two_that_found_at_once_one_does(postgres_url: str) -> None:
    async with _opened(postgres_url) as one, _opened(postgres_url) as other:
        # given the first, about to commit
        with failpoints.armed("store.committing=hang@1") as armed:
            first = asyncio.ensure_future(SqlRegistryStore(one, ManualClock()).found("first"))
            await asyncio.to_thread(armed["store.committing"].acted.wait)

            # when another one starts
            second = asyncio.ensure_future(SqlRegistryStore(other, ManualClock()).found("second"))
            await _somebody_waits(postgres_url)

        # then both serve what the first has founded
        assert await first == await second
        assert (await first).incarnation == "first"
