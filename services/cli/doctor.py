"""``runyard doctor``: what a platform engineer would ask first, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.startup import StartupRefusedError
from services.cli import machine, servers
from services.cli.clients import Clients, peer_channel
from services.cli.command import clients, run
from services.cli.credentials import read_peers
from services.cli.endpoints import VARIABLE
from services.cli.exits import CliError
from services.cli.findings import Finding, Level, fail, ok
from services.cli.options import DEFAULT_DATA, DataOption, EndpointOption, OutputOption
from services.cli.plan import SERVICES
from services.cli.servers import Sight
from services.cli.terminal import Output, Terminal

if TYPE_CHECKING:
    from services.chassis.settings import ServiceSettings

_STYLES = {Level.OK: "green", Level.WARN: "bold yellow", Level.FAIL: "bold red"}


def doctor(
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Examine this machine and the servers, and say what to do: changes nothing.

    Looks at libraries, settings and credentials, databases and their schemas, room on disks, ports,
    servers, their versions, and whether router and run control have the registry's newest version.
    Exit code 1 if a check failed; a warning is none.

    Example: runyard doctor --endpoint registry=registry.internal:7401
    """
    run(output, lambda terminal: _doctor(terminal, data, endpoint or []))


async def _doctor(terminal: Terminal, data: Path, endpoint: list[str]) -> None:
    findings = []
    async with clients("doctor", endpoint) as found:
        async for finding in _examined(found, data, told=_told(endpoint)):
            _show(terminal, finding)
            findings.append(finding)
    counts = Counter(finding.level for finding in findings)
    terminal.data(
        {
            "findings": [finding.as_json() for finding in findings],
            **{level.value: counts[level] for level in Level},
        }
    )
    terminal.line((", ".join(f"{counts[level]} {level}" for level in Level), "bold"))
    if counts[Level.FAIL]:
        raise CliError(
            f"{counts[Level.FAIL]} of {len(findings)} checks failed",
            reason="UNHEALTHY",
            hint="do what the lines above say, and look again",
        )


def _told(endpoint: list[str]) -> bool:
    """Whether somebody said where the servers are, and so that they are there."""
    return bool(endpoint or os.environ.get(VARIABLE))


def _show(terminal: Terminal, finding: Finding) -> None:
    level = (f"{finding.level:<5}", _STYLES[finding.level])
    terminal.line(level, (f" {finding.check:<20} ", "bold"), finding.text)
    if finding.hint:
        terminal.line((f"{'':<5} {'next:':>20} ", "dim"), finding.hint)


async def _examined(clients: Clients, data: Path, *, told: bool) -> AsyncIterator[Finding]:
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
    sights = await servers.look_everywhere(clients)
    for service, settings in loaded.items():
        yield await _port(service, settings, sights)
    expected = told or any(sight.info for sight in sights.values())
    for service in SERVICES:
        yield servers.server(sights[service], expected=expected)
    for finding in servers.versions(sights.values()):
        yield finding
    async for finding in servers.snapshots(clients, sights):
        yield finding


async def _port(service: str, settings: ServiceSettings, sights: Mapping[str, Sight]) -> Finding:
    """Whether the address that this machine's settings name is free, or used by the server."""
    # Not with the other imports: it takes the server half of gRPC along.
    from services.chassis.listening import parse_address, refuse_taken  # noqa: PLC0415

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


async def _seen_at(service: str, listen: str, sights: Mapping[str, Sight]) -> Sight | None:
    """Whoever answers on the address; None when it is none."""
    from services.chassis.listening import parse_address  # noqa: PLC0415  # as above

    try:
        address = parse_address(listen)
    except StartupRefusedError:
        return None
    target = address.target(address.port)
    if sights[service].target == target:
        return sights[service]
    async with peer_channel(target, read_peers()) as channel:
        return await servers.look(service, target, channel)
