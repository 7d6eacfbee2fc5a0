"""A database of the release before leases is taken along, and goes on delivering."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import MetaData, Table, text

import services.pool.store.tables
import services.runcontrol.store.tables
from services.chassis.notifier import LocalNotifier
from services.chassis.outbox import Answer, OutboxRow, OutboxSender, put
from services.chassis.store.opening import migrate, open_store
from services.chassis.store.port import Tx
from services.chassis.store.statement import statement
from tests.support.clock import ManualClock
from tests.support.turns import until

SERVICES = {
    "pool": services.pool.store.tables,
    "runcontrol": services.runcontrol.store.tables,
}


@pytest.fixture(params=list(SERVICES))
def tables(request: pytest.FixtureRequest) -> tuple[MetaData, Path, Table]:
    module = SERVICES[request.param]
    return module.metadata, module.MIGRATIONS, module.outbox


async def test_rows_of_the_release_before_are_delivered(
    database_url: str, tmp_path: Path, tables: tuple[MetaData, Path, Table]
) -> None:
    metadata, migrations, outbox = tables
    # given a database with the first version alone, and two rows
    first = tmp_path / "first" / "versions"
    first.mkdir(parents=True)
    shutil.copy(migrations / "versions" / "0001_initial.py", first)
    migrate(database_url, metadata=MetaData(), migrations=first.parent)
    await _fill(database_url, first.parent)

    # when it is opened by this release
    clock, arrived = ManualClock(), []
    notifier = LocalNotifier(clock)

    async def deliver(row: OutboxRow) -> bytes:
        arrived.append((row.id, row.payload))
        return b""

    def settle(_tx: Tx, _row: OutboxRow, _answer: Answer) -> None:
        pass

    opened = open_store(
        database_url, metadata=metadata, migrations=migrations, clock=clock, notifier=notifier
    )
    async with opened as store:
        sender = OutboxSender(store, outbox, notifier, clock, {"tell": deliver}, settle)
        running = asyncio.ensure_future(sender.run())
        await store.write(
            lambda tx: put(
                tx, outbox, id="c", lane="lane", kind="tell", payload=b"c", traceparent="",
                now=clock.now(),
            )
        )  # fmt: skip
        await until(lambda: len(arrived) == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    # then all arrive, in their order
    assert arrived == [("a", b"old"), ("b", b"old"), ("c", b"c")]


async def _fill(url: str, migrations: Path) -> None:
    """Put the rows in as they were written then."""
    opened = open_store(
        url,
        metadata=MetaData(),
        migrations=migrations,
        clock=ManualClock(),
        notifier=LocalNotifier(),
    )
    async with opened as store:
        insert = (
            "INSERT INTO outbox (lane, seq, id, kind, payload, traceparent, state, attempts,"
            " created_at, due_at, settled_at, reason, message) VALUES"
        )
        old = "CAST('old' AS BLOB)" if url.startswith("sqlite") else "'old'::bytea"
        rows = (
            f" ('lane', 1, 'a', 'tell', {old}, '', 0, 0, 1, 1, NULL, '', ''),"
            f" ('lane', 2, 'b', 'tell', {old}, '', 0, 0, 1, NULL, NULL, '', '')"
        )
        filling = statement(text((insert + rows).replace("::", "\\:\\:")))
        await store.write(lambda tx: tx.run(filling))
