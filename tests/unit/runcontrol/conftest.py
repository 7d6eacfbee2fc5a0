"""The use cases of run control over a memory store, new for each test."""

from __future__ import annotations

import pytest

from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl


@pytest.fixture
def system() -> InMemoryRunControl:
    return InMemoryRunControl()
