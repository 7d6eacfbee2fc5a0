"""The pins of the release before are kept when its database is upgraded."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, Table

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.columns import Integer, Text, UtcMicros
from services.chassis.store.opening import migrate, open_store
from services.chassis.store.statement import statement
from services.router.core.decision import SkipReason
from services.router.core.pins import Pin, pin_entry
from services.router.store.router_store import SqlRouterStore
from services.router.store.tables import MIGRATIONS, metadata
from tests.support.clock import START, ManualClock
from tests.unit.router.builders import a_pin

TEXTS = (
    "tenant", "pool_id", "session", "revision", "member_id", "home_member_id", "reason", "run_id",
    "traceparent",
)  # fmt: skip
PIN = Table(
    "pin",
    MetaData(),
    *(Column(name, Text) for name in TEXTS),
    *(Column(name, UtcMicros) for name in ("moved_at", "used_at")),
    Column("ttl_us", Integer),
)
INSERT = statement(PIN.insert())
PINS = [
    a_pin(ttl_s=300.5),
    a_pin('thread:"2"\\/ 🦊 é', used_at=START + timedelta(seconds=7), traceparent=""),
    a_pin("thread:3", used_at=START + timedelta(seconds=9), reason=SkipReason.CIRCUIT_OPEN),
]


def row(pin: Pin) -> dict[str, Any]:
    """As the release before stored it."""
    texts = {name: getattr(pin, name) for name in TEXTS if name != "reason"}
    reason = "" if pin.reason is None else pin.reason.value
    times = {"moved_at": pin.moved_at, "used_at": pin.used_at, "ttl_us": round(pin.ttl_s * 1e6)}
    return {**texts, **times, "reason": reason}


async def test_pins_are_kept(database_url: str, tmp_path: Path) -> None:
    # given a database of the release before, with pins
    before = tmp_path / "before" / "versions"
    before.mkdir(parents=True)
    shutil.copy(MIGRATIONS / "versions" / "0001_initial.py", before)
    migrate(database_url, metadata=MetaData(), migrations=before.parent)
    notifier = LocalNotifier(ManualClock())
    old = open_store(database_url, metadata=MetaData(), migrations=before.parent, notifier=notifier)
    async with old as store:
        await store.write(lambda tx: tx.run_many(INSERT, map(row, PINS)))

    # when it is upgraded, and a session moves
    new = open_store(database_url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)
    async with new as store:
        stored = SqlRouterStore(store)
        loaded = await stored.load(10)
        moved = a_pin('thread:"2"\\/ 🦊 é', moved_at=START + timedelta(seconds=1))
        await stored.save([pin_entry(moved)])
        after = await stored.load(10)

    # then every pin is there, and the move has replaced the one of its session
    assert list(loaded.entries) == list(map(pin_entry, PINS))
    assert loaded.number == 3
    assert {each.value.session: each.value for each in after.entries} == {
        PINS[0].session: PINS[0],
        PINS[1].session: moved,
        PINS[2].session: PINS[2],
    }
