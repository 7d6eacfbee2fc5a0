"""Two tenants that shared a lane in an older release are told apart when it is upgraded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, select

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.outbox.rows import OutboxRow, put
from services.chassis.outbox.sender import OutboxSender, SenderTuning
from services.chassis.outbox.statements import RowState
from services.chassis.store.opening import migrate, open_store
from services.chassis.store.statement import statement
from services.runcontrol.store.tables import MIGRATIONS, metadata, outbox
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.support.waiting import until

_INSERT = statement(outbox.insert())
_ROWS = statement(
    select(outbox.c.lane, outbox.c.id, outbox.c.due_at).order_by(outbox.c.lane, outbox.c.seq)
)
# Tenant "a" with the thread "b/c", and tenant "a/b" with the thread "c".
SHARED = "a/b/c"


def _row(seq: int, id_: str, tenant: str, **others: Any) -> dict[str, Any]:
    """A row of the release before; only the first of a lane was due."""
    payload = json.dumps({"tenant": tenant}).encode()
    return {
        "lane": SHARED, "seq": seq, "id": id_, "kind": "tell", "payload": payload,
        "traceparent": "", "state": RowState.PENDING, "attempts": 0, "holder": "",
        "created_at": ManualClock().now(), "due_at": None, "settled_at": None, "reason": "",
        "message": "", **others,
    }  # fmt: skip


async def test_each_thread_gets_a_lane_of_its_own(database_url: str, tmp_path: Path) -> None:
    # given a database of the release before, in which two threads share a lane, some rows of which
    # are closed, and a thread whose old lane has the name of a new one
    before = tmp_path / "before" / "versions"
    before.mkdir(parents=True)
    for path in (MIGRATIONS / "versions").glob("000[123]_*.py"):
        shutil.copy(path, before)
    migrate(database_url, metadata=MetaData(), migrations=before.parent)
    clock = ManualClock()
    now = clock.now()
    closed = {"state": RowState.DEAD, "settled_at": now}
    namesake = {"lane": "1:a/b/c"}
    await _insert(
        database_url,
        before.parent,
        _row(1, "refused", "a/b", **closed),
        _row(2, "a1", "a", due_at=now, holder="a process of that release"),
        _row(3, "b1", "a/b"),
        _row(4, "a2", "a"),
        _row(5, "b2", "a/b"),
        _row(1, "n0", "1:a", **namesake, **closed),
        _row(2, "n1", "1:a", **namesake, due_at=now),
        _row(3, "n2", "1:a", **namesake),
    )

    # when this release opens it, and the pool does not take the first row of tenant "a"
    arrived: list[str] = []

    async def deliver(row: OutboxRow) -> bytes:
        if row.id == "a1":
            raise OSError("unreachable")
        arrived.append(row.id)
        return b""

    notifier = LocalNotifier(clock)
    opened = open_store(database_url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)
    async with opened as store:
        moved = await store.fetch(_ROWS)
        sender = OutboxSender(
            store, outbox, notifier, clock, {"tell": deliver}, lambda _tx, _row, _answer: None,
            tuning=SenderTuning(),
        )  # fmt: skip
        async with running(sender.run()):
            given = _row(0, "b3", "a/b")
            fresh = {name: given[name] for name in ("id", "kind", "payload", "traceparent")}
            await store.write(lambda tx: put(tx, outbox, lane="3:a/b/c", now=clock.now(), **fresh))
            await until(lambda: len(arrived) == 5)

    # then each lane has its rows in their order, and one head
    assert [(row.lane, row.id, row.due_at is not None) for row in moved] == [
        ("1:a/b/c", "n0", False),
        ("1:a/b/c", "a1", True),
        ("1:a/b/c", "a2", False),
        ("3:1:a/b/c", "n1", True),
        ("3:1:a/b/c", "n2", False),
        ("3:a/b/c", "b1", True),
        ("3:a/b/c", "b2", False),
        (SHARED, "refused", False),
    ]
    # and no tenant waits for another's receiver
    assert [id_ for id_ in arrived if id_.startswith("b")] == ["b1", "b2", "b3"]
    assert [id_ for id_ in arrived if id_.startswith("n")] == ["n1", "n2"]


async def _insert(url: str, migrations: Path, *rows: dict[str, Any]) -> None:
    opened = open_store(url, metadata=MetaData(), migrations=migrations, notifier=LocalNotifier())
    async with opened as store:
        await store.write(lambda tx: tx.run_many(_INSERT, rows))
