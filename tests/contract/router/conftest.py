from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_provider import FakeProvider, fake_provider


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that does as the test says."""
    async with fake_provider() as running:
        yield running
