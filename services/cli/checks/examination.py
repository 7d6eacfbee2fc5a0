"""Every check of this machine and the servers, in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.startup import StartupRefusedError
from services.cli.base.services import SERVICES
from services.cli.checks import machine, servers
from services.cli.checks.capabilities import capabilities
from services.cli.checks.credentials import credentials
from services.cli.checks.findings import Finding, fail, ok
from services.cli.checks.servers import ServerStatus
from services.cli.talk.clients import Clients, peer_channel
from services.cli.talk.credentials import read_peers

if TYPE_CHECKING:
    from services.chassis.config.settings import ServiceSettings


async def examine(clients: Clients, data: Path, *, configured: bool) -> AsyncIterator[Finding]:
    for finding in machine.libraries():
        yield finding
    loaded: dict[str, ServiceSettings] = {}
    for finding in machine.settings(loaded):
        yield finding
    for service, settings in loaded.items():
        yield machine.access(service, settings)
    urls = machine.database_urls(loaded, data, os.environ)
    for service, url in urls.items():
        shown = loaded[service].describe()[loaded[service].variable("database_url")]
        shown = shown if url == loaded[service].database_url else url
        yield await asyncio.to_thread(machine.database, service, url, shown)
    for folder in machine.folders(data, urls.values()):
        yield machine.disk(folder)
    sights = await servers.look_at_all(clients)
    for service, settings in loaded.items():
        yield await _port(service, settings, sights)
    expected = configured or any(sight.info for sight in sights.values())
    for service in SERVICES:
        yield servers.server(sights[service], expected=expected)
    for finding in servers.versions(sights.values()):
        yield finding
    async for finding in _resources(clients, sights):
        yield finding


async def _resources(
    clients: Clients, sights: Mapping[str, ServerStatus]
) -> AsyncIterator[Finding]:
    """Who has the applied resources, and what these refer to outside the registry."""
    async for finding in servers.snapshots(clients, sights):
        yield finding
    async for finding in credentials(clients, sights):
        yield finding
    async for finding in capabilities(clients, sights):
        yield finding


async def _port(
    service: str, settings: ServiceSettings, sights: Mapping[str, ServerStatus]
) -> Finding:
    """Whether the address that this machine's settings name is free, or used by the server."""
    # Imported here because it imports the server half of gRPC.
    from services.chassis.config.listening import parse_address, refuse_taken  # noqa: PLC0415

    check, variable = f"port {service}", settings.variable("listen")
    try:
        address = parse_address(settings.listen)
        refuse_taken(address, variable)
    except StartupRefusedError as error:
        sight = await _seen_at(service, settings.listen, sights)
        if sight is not None and sight.info is not None and sight.info.service == service:
            return ok(check, f"{settings.listen} is used by this service")
        return fail(check, str(error), "ss -ltnp shows who listens where")
    return ok(check, f"{settings.listen} is free")


async def _seen_at(
    service: str, listen: str, sights: Mapping[str, ServerStatus]
) -> ServerStatus | None:
    """Return the status of the server at ``listen``; None if the address is malformed."""
    from services.chassis.config.listening import parse_address  # noqa: PLC0415  # as above

    try:
        address = parse_address(listen)
    except StartupRefusedError:
        return None
    target = address.target(address.port)
    if sights[service].target == target:
        return sights[service]
    async with peer_channel(target, read_peers()) as channel:
        return await servers.look(service, target, channel)
