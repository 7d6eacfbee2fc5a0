"""Where the servers are, from the environment and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.services import LOOPBACK, PORT_BASE, SERVICES

VARIABLE = "RUNYARD_ENDPOINTS"

DEFAULTS: Mapping[str, str] = {
    service: f"{LOOPBACK}:{PORT_BASE + number}" for number, service in enumerate(SERVICES, start=1)
}


def read_endpoints(environment: Mapping[str, str], options: Iterable[str]) -> dict[str, str]:
    """The target of each service: an option wins over the environment, that over the default.

    Raises:
        CliError: An entry is not ``service=host:port``.
    """
    endpoints = dict(DEFAULTS)
    endpoints.update(_parse(environment.get(VARIABLE, ""), VARIABLE))
    for option in options:
        endpoints.update(_parse(option, "--endpoint"))
    return endpoints


def _parse(text: str, source: str) -> dict[str, str]:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return dict(_entry(entry, source) for entry in entries)


def _entry(entry: str, source: str) -> tuple[str, str]:
    service, equals, target = entry.partition("=")
    host, colon, port = target.rpartition(":")
    if not (equals and colon and host and port.isdigit()):
        raise _malformed(f"{source}: {entry!r} is not service=host:port")
    if service not in SERVICES:
        near = difflib.get_close_matches(service, SERVICES, n=1, cutoff=0.0)
        raise _malformed(f"{source}: unknown service {service!r}, did you mean {near[0]!r}?")
    return service, target


def _malformed(message: str) -> CliError:
    return CliError(
        message,
        reason="ENDPOINTS",
        hint=f"write for instance {VARIABLE}=router={DEFAULTS['router']},pool={DEFAULTS['pool']}",
        exit_code=EXIT_USAGE,
    )
