"""The command as a process of its own, and a registry for it to talk to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.support.serving import serving

COMMAND = (sys.executable, "-P", "-m", "services.cli.main")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the product, and ``more``."""
    return {k: v for k, v in os.environ.items() if not k.startswith("RUNYARD_")} | more


async def runyard(*arguments: str, text: str = "", **variables: str) -> Answer:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environment(**variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(text.encode())
    return Answer(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def registry(folder: Path) -> AsyncIterator[str]:
    """Gives what RUNYARD_ENDPOINTS has to be."""
    async with registry_with(folder) as (endpoint, _):
        yield endpoint


@asynccontextmanager
async def registry_with(
    folder: Path, *resources: registry_pb2.Resource, apply_set: str = "", port: int = 0
) -> AsyncIterator[tuple[str, RegistryServiceStub]]:
    """What RUNYARD_ENDPOINTS has to be, and a stub; the registry holds ``resources``."""
    settings = RegistrySettings(
        listen=f"127.0.0.1:{port}", database_url=f"sqlite:///{folder / 'registry.db'}"
    )
    async with serving(build, settings) as served:
        stub = RegistryServiceStub(served.channel)
        if resources:
            await put(stub, resources, apply_set)
        yield f"registry={served.target}", stub


async def put(
    stub: RegistryServiceStub, resources: Iterable[registry_pb2.Resource], apply_set: str = ""
) -> int:
    """Apply them; answers the version."""
    request = pb.ApplyResourcesRequest(resources=list(resources), apply_set=apply_set)
    return (await stub.ApplyResources(request)).version
