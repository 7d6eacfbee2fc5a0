"""One stack of four real processes, shared by the scenarios; each leaves it running."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from runyard.registry.v1.registry_pb2 import Resource
from tests.support import clients
from tests.support.stack import SERVICES, Stack, running_stack


@pytest_asyncio.fixture(scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest_asyncio.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    """The shared stack with all four servers up, whatever the test before did."""
    up = [name for name, process in shared_stack.processes.items() if process.returncode is None]
    if missing := [service for service in SERVICES if service not in up]:
        await shared_stack.start(*missing)
    yield shared_stack


async def apply(stack: Stack, *resources: Resource) -> int:
    """Apply all; answer the registry version that has them."""
    async with stack.channel("registry") as channel:
        return await clients.apply(channel, *resources)
