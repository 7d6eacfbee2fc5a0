"""kill -9 at each failpoint of the registry: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.registry_kills import Clients, ServerRun, run_registry
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It sends no commands; and it hashes only versions that an earlier release has left unhashed.
_UNUSED = ("outbox.", "registry.versions_hashed")
# These lie between two processes on one database; test_replicas.py kills one of two there.
_NEVER = {"sqlite": ["notify.received", "notify.sending"], "postgresql": ["notify.received"]}
# Few enough that some go while the test runs.
_KEEPING = {"RUNYARD_REGISTRY_KEEP_VERSIONS": "20", "RUNYARD_REGISTRY_KEEP_DAYS": "0"}


async def failpoints() -> list[str]:
    """Every name that a registry process knows and passes."""
    code = "import services.registry.main, services.chassis.failpoints as f; print(*f.names())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return [name for name in out.decode().split() if not name.startswith(_UNUSED)]


class Enumeration:
    """One database, on which a server is killed at one failpoint after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        environment = {"RUNYARD_REGISTRY_DATABASE_URL": url, **_KEEPING}
        self._stack = Stack(folder, environment={"registry": environment})
        self._clients = Clients(self._stack.target("registry"))
        self.runs: dict[str, ServerRun] = {}

    @asynccontextmanager
    async def checked(self) -> AsyncIterator[None]:
        """On the way out run a server without a failpoint: it must find all as it should be."""
        try:
            async with self._clients.watching():
                yield
                await self.run_undisturbed()
        finally:
            await self._stack.stop()

    async def run_undisturbed(self) -> None:
        await run_registry(self._stack, run := ServerRun(""), self._clients)
        assert run.end == "survived"

    async def kill(self, name: str, when: str) -> None:
        run = self.runs[name] = ServerRun(f"{name}=kill{when}")
        await run_registry(self._stack, run, self._clients)

    def survived(self) -> list[str]:
        return [name for name, run in self.runs.items() if run.end == "survived"]


async def test_killed_anywhere_between_a_commit_and_its_frames(tmp_path: Path) -> None:
    """Acknowledged writes are kept, others are repeated, and watchers get both."""
    kills = Enumeration(f"sqlite:///{tmp_path}/registry.db", tmp_path)
    names = ("store.committing", "store.committed", "store.answered", "feed.read")

    async with kills.checked():
        for name in names:
            await kills.kill(name, "@6")

    assert set(names) <= set(await failpoints())
    ends = {run.end for run in kills.runs.values()}
    assert ends == {"served and was killed"}


@pytest.mark.chaos
async def test_killed_at_every_failpoint(database_url: str, tmp_path: Path) -> None:
    kills = Enumeration(database_url, tmp_path)

    async with kills.checked():
        for name in await failpoints():
            await kills.kill(name, "@6")
        # Where a process comes by less often, the first time; some need new versions for that.
        for name in kills.survived():
            await kills.run_undisturbed()
            await kills.kill(name, "")

    assert kills.survived() == _NEVER[database_url.partition(":")[0]]
