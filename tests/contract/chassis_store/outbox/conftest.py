"""The outbox runs on every engine; on SQLite also as if other processes sent as well."""

from __future__ import annotations

import pytest

from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.stores import SharedEngine


@pytest.fixture(params=["sqlite", "sqlite-shared", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return _engine(request, request.param)


@pytest.fixture(params=["sqlite"])
def sole_engine(request: pytest.FixtureRequest) -> Engine:
    """One whose sender is alone."""
    return _engine(request, request.param)


@pytest.fixture(params=["sqlite-shared", "postgresql"])
def shared_engine(request: pytest.FixtureRequest) -> Engine:
    """One whose senders have to claim lanes."""
    return _engine(request, request.param)


def _engine(request: pytest.FixtureRequest, name: str) -> Engine:
    if name == "postgresql":
        return Engine(name, request.getfixturevalue("postgres_url"))
    url = f"sqlite:///{request.getfixturevalue('tmp_path') / 'data' / 'store.db'}"
    return SharedEngine("sqlite", url) if name == "sqlite-shared" else Engine("sqlite", url)
