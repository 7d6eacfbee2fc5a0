"""The command as a process of its own, and a registry for it to talk to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings
from tests.contract.cli.command_server import Answer, CommandServer
from tests.support.serving import serving

COMMAND = (sys.executable, "-P", "-m", "services.cli.main")


# The one that runs, as long as tests of this folder do.
commands: list[CommandServer] = []


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the product, and ``more``."""
    return {k: v for k, v in os.environ.items() if not k.startswith("RUNYARD_")} | more


async def runyard(*arguments: str, text: str = "", **variables: str) -> Answer:
    """Run the command in a process of its own, with ``text`` as its input."""
    (server,) = commands
    return await asyncio.to_thread(server.run, arguments, environment(**variables), text)


@asynccontextmanager
async def registry(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Gives the environment of a command that is to find it."""
    async with registry_with(folder) as (at, _):
        yield at


@asynccontextmanager
async def registry_with(
    folder: Path, *resources: registry_pb2.Resource, apply_set: str = "", port: int = 0
) -> AsyncIterator[tuple[dict[str, str], RegistryServiceStub]]:
    """The environment of a command, and a stub; the registry holds ``resources``."""
    settings = RegistrySettings(
        listen=f"127.0.0.1:{port}", database_url=f"sqlite:///{folder / 'registry.db'}"
    )
    async with serving(SERVICE.build, settings) as served:
        stub = RegistryServiceStub(served.channel)
        if resources:
            await put(stub, resources, apply_set)
        yield {"RUNYARD_ENDPOINTS": f"registry={served.target}"}, stub


async def put(
    stub: RegistryServiceStub, resources: Iterable[registry_pb2.Resource], apply_set: str = ""
) -> int:
    """Apply them; answers the version."""
    request = pb.ApplyResourcesRequest(resources=list(resources), apply_set=apply_set)
    return (await stub.ApplyResources(request)).version
