"""kill -9 wherever the registry can be made to fail: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.registry_ordeal import Life, Witness, live
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It sends no commands; and it hashes only versions that an earlier release has left unhashed.
_UNUSED = ("outbox.", "registry.versions_hashed")
# Between the processes on one database; what others tell is tested with two of them.
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


class Ordeal:
    """One database, on which a server is killed at one place after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        environment = {"RUNYARD_REGISTRY_DATABASE_URL": url, **_KEEPING}
        self._stack = Stack(folder, environment={"registry": environment})
        self._witness = Witness(self._stack.target("registry"))
        self.lives: dict[str, Life] = {}

    @asynccontextmanager
    async def endured(self) -> AsyncIterator[None]:
        """On the way out a server runs to its end undisturbed: all is still as it should be."""
        try:
            async with self._witness.watching():
                yield
                await self.leave_in_peace()
        finally:
            await self._stack.stop()

    async def leave_in_peace(self) -> None:
        await live(self._stack, life := Life(""), self._witness)
        assert life.end == "survived"

    async def kill(self, name: str, when: str) -> None:
        life = self.lives[name] = Life(f"{name}=kill{when}")
        await live(self._stack, life, self._witness)

    def survived(self) -> list[str]:
        return [name for name, life in self.lives.items() if life.end == "survived"]


async def test_killed_anywhere_between_a_commit_and_its_frames(tmp_path: Path) -> None:
    """What a writer was told is there, what it was not told it repeats, and watchers get it."""
    ordeal = Ordeal(f"sqlite:///{tmp_path}/registry.db", tmp_path)
    names = [name for name in await failpoints() if name.startswith(("store.", "feed."))]

    async with ordeal.endured():
        for name in names:
            await ordeal.kill(name, "@6")

    ends = {life.end for life in ordeal.lives.values()}
    assert ends == {"served and was killed"}
    assert set(names) >= {"store.committing", "store.committed", "store.answered", "feed.read"}


@pytest.mark.chaos
async def test_killed_at_every_place_there_is(database_url: str, tmp_path: Path) -> None:
    ordeal = Ordeal(database_url, tmp_path)

    async with ordeal.endured():
        for name in await failpoints():
            await ordeal.kill(name, "@6")
        # Where a process comes by less often, the first time; some need new versions for that.
        for name in ordeal.survived():
            await ordeal.leave_in_peace()
            await ordeal.kill(name, "")

    assert ordeal.survived() == _NEVER[database_url.partition(":")[0]]
