"""A database of the release before leases is taken along, and goes on delivering."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import MetaData, Table

import services.pool.store.tables
import services.runcontrol.store.tables
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.outbox.rows import OutboxRow, put
from services.chassis.outbox.sender import OutboxSender
from services.chassis.store.opening import migrate
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.releases import run
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.support.waiting import until

OLD = '{"tenant": "default"}'
SERVICES = {"pool": services.pool.store.tables, "runcontrol": services.runcontrol.store.tables}


@pytest.fixture(params=list(SERVICES))
def tables(request: pytest.FixtureRequest) -> tuple[MetaData, Path, Table]:
    module = SERVICES[request.param]
    return module.metadata, module.MIGRATIONS, module.outbox


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
async def test_rows_of_the_release_before_are_delivered(
    engine: Engine, tmp_path: Path, tables: tuple[MetaData, Path, Table]
) -> None:
    metadata, migrations, outbox = tables
    # given a database with the first version alone, and two rows
    first = tmp_path / "first" / "versions"
    first.mkdir(parents=True)
    shutil.copy(migrations / "versions" / "0001_initial.py", first)
    migrate(engine.url, metadata=MetaData(), migrations=first.parent)
    # run control's lanes began with the tenant, the pool's with its length
    _fill(engine.url, lane="default/a" if "run" in metadata.tables else "7:default/a")

    # when it is opened by this release
    clock, arrived = ManualClock(), list[tuple[str, bytes]]()
    notifier = LocalNotifier(clock)

    async def deliver(row: OutboxRow) -> bytes:
        arrived.append((row.id, row.payload))
        return b""

    opened = engine.open(metadata=metadata, migrations=migrations, notifier=notifier)
    async with opened as store:
        sender = OutboxSender(
            store, outbox, notifier, clock, {"tell": deliver}, lambda _tx, _row, _answer: None
        )
        async with running(sender.run()):
            row = {"id": "c", "lane": "7:default/a", "kind": "tell", "traceparent": ""}
            await store.write(lambda tx: put(tx, outbox, **row, payload=b"c", now=clock.now()))
            await until(lambda: len(arrived) == 3)

    # then all arrive, in their order
    old = OLD.encode()
    assert arrived == [("a", old), ("b", old), ("c", b"c")]


def _fill(url: str, lane: str) -> None:
    """Put the rows in as they were written then."""
    old = f"CAST('{OLD}' AS BLOB)" if url.startswith("sqlite") else f"'{OLD}'::bytea"
    insert = (
        "INSERT INTO outbox (lane, seq, id, kind, payload, traceparent, state, attempts,"
        " created_at, due_at, settled_at, reason, message) VALUES"
    )
    rows = (
        f" ('{lane}', 1, 'a', 'tell', {old}, '', 0, 0, 1, 1, NULL, '', ''),"
        f" ('{lane}', 2, 'b', 'tell', {old}, '', 0, 0, 1, NULL, NULL, '', '')"
    )
    run(url, insert + rows)
