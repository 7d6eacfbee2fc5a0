"""A fresh database for each test, and a store on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.port import Store
from tests.contract.chassis_store.engines import ONE_BATCH, Engine
from tests.contract.chassis_store.releases import ONE, TWO, Release


@pytest.fixture
def engine(database_url: str) -> Engine:
    """An empty database, on one engine after the other."""
    return Engine(database_url)


@pytest.fixture
def notifier() -> LocalNotifier:
    return LocalNotifier()


@pytest_asyncio.fixture
async def store(engine: Engine, notifier: LocalNotifier) -> AsyncIterator[Store]:
    """Its batches on SQLite take everything that is queued.

    On PostgreSQL it has begun to listen, of which every signal is notified.
    """
    with notifier.signal("any") as began_to_listen:
        async with engine.open(tuning=ONE_BATCH, notifier=notifier) as opened:
            assert opened.sole_owner or await began_to_listen.wait(10)
            yield opened


@pytest.fixture
def old(tmp_path: Path) -> Release:
    return Release(tmp_path / "old", ONE)


@pytest.fixture
def new(tmp_path: Path) -> Release:
    return Release(tmp_path / "new", ONE, TWO, columns=("size",))
