"""kill -9 wherever the registry can be made to fail: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.registry_ordeal import Life, Witness, live
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Of what a registry process has but does not do: it sends no commands.
_UNUSED = ("outbox.",)
# So that versions are retired, at the start of the next life.
FEW = {"RUNYARD_REGISTRY_KEEP_VERSIONS": "2", "RUNYARD_REGISTRY_KEEP_DAYS": "0"}


async def failpoints() -> list[str]:
    """Every name that a registry process knows."""
    code = "import services.registry.main, services.chassis.failpoints as f; print(*f.names())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode().split()


async def test_a_registry_that_is_killed_anywhere_loses_and_doubles_nothing(
    database_url: str, tmp_path: Path
) -> None:
    # given a database that lives through all of it
    stack = Stack(
        tmp_path, environment={"registry": {"RUNYARD_REGISTRY_DATABASE_URL": database_url, **FEW}}
    )
    names = [name for name in await failpoints() if not name.startswith(_UNUSED)]
    lives: dict[str, Life] = {}
    witness = Witness(stack.target("registry"))
    try:
        async with witness.watching():
            # when the server is killed in the middle of its work, at one place after the other
            for name in names:
                lives[name] = Life(f"{name}=kill@6")
                await live(stack, lives[name], witness)
            # and where it comes by less often, the first time
            for name in [name for name, life in lives.items() if life.end == "survived"]:
                lives[name] = Life(f"{name}=kill")
                # Loops that take their time come by in a longer life.
                await live(stack, lives[name], witness, rounds=50)

            # then writer and watchers agree, as they did in every life, and all places were passed
            last = Life("")
            await live(stack, last, witness)
    finally:
        await stack.stop()
    assert last.end == "survived"
    assert [name for name, life in lives.items() if life.end == "survived"] == []
    killed_serving = [name for name, life in lives.items() if life.end == "served and was killed"]
    assert {"store.committing", "store.committed", "store.answered"} <= set(killed_serving)
