"""A fresh database for each test, and a store on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.store.port import Store
from tests.contract.chassis_store.engines import ONE_BATCH, Engine, sqlite_engine


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return {"sqlite": sqlite_engine}[request.param](tmp_path)


@pytest_asyncio.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with engine.open(tuning=ONE_BATCH) as opened:
        yield opened
