"""One stack of four real processes, shared by the scenarios; each leaves it running."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.stack import SERVICES, Stack, running_stack


@pytest_asyncio.fixture(scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest_asyncio.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    """The shared stack with all four servers up, whatever the test before did."""
    missing = [
        service
        for service in SERVICES
        if service not in shared_stack.processes
        or shared_stack.processes[service].returncode is not None
    ]
    if missing:
        await shared_stack.start(*missing)
    yield shared_stack
