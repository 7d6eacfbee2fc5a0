"""The kept copy in a real store: replaced, moved on, and there after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.kept_snapshot import (
    Kept,
    KeptChange,
    KeptSnapshot,
    SqlKeptSnapshot,
    kept_snapshot_tables,
)
from services.chassis.store.opening import open_store
from tests.support.memory_kept_snapshot import MemoryKept

METADATA = MetaData()
TABLES = kept_snapshot_tables(METADATA)
MIGRATIONS = Path(__file__).parent / "kept_migrations"

WHOLE = KeptChange(7, "first", whole=True, upserts={(1, "a"): b"A", (2, "a"): b"B", (2, "c"): b"C"})


@asynccontextmanager
async def in_database(folder: Path) -> AsyncIterator[KeptSnapshot]:
    store = open_store(
        f"sqlite:///{folder}/consumer.db",
        metadata=METADATA,
        migrations=MIGRATIONS,
        notifier=LocalNotifier(),
    )
    async with store as opened:
        yield SqlKeptSnapshot(opened, TABLES)


@asynccontextmanager
async def in_memory(_folder: Path) -> AsyncIterator[KeptSnapshot]:
    yield MemoryKept()


@pytest.fixture(params=[in_database, in_memory])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptSnapshot]:
    async with request.param(tmp_path) as opened:
        yield opened


async def test_nothing_is_kept_at_first(kept: KeptSnapshot) -> None:
    assert await kept.load() is None


async def test_a_change_moves_the_copy_on(kept: KeptSnapshot) -> None:
    # given
    await kept.save(WHOLE)

    # when one is changed, one is new and one is gone
    change = {(2, "a"): b"B2", (5, "t"): b"T"}
    await kept.save(KeptChange(9, "first", whole=False, upserts=change, removed=[(2, "c")]))

    # then
    loaded = await kept.load()
    assert loaded == Kept(9, "first", {(1, "a"): b"A", (2, "a"): b"B2", (5, "t"): b"T"})


async def test_a_whole_snapshot_leaves_nothing_of_the_old_one(kept: KeptSnapshot) -> None:
    # given
    await kept.save(WHOLE)

    # when a registry with another incarnation sends everything
    await kept.save(KeptChange(2, "second", whole=True, upserts={(4, "x"): b"X"}))

    # then
    assert await kept.load() == Kept(2, "second", {(4, "x"): b"X"})


async def test_the_copy_survives_the_process(tmp_path: Path) -> None:
    # given
    async with in_database(tmp_path) as before:
        await before.save(WHOLE)

    # when
    async with in_database(tmp_path) as after:
        loaded = await after.load()

    # then
    assert loaded == Kept(7, "first", dict(WHOLE.upserts))
