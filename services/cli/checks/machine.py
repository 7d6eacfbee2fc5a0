"""What ``runyard doctor`` looks at on this machine: libraries, settings, databases, ports, disks.

Nothing here creates or changes anything: databases are verified, ports are tried and left.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.clock import SystemClock
from services.chassis.errors import DomainError
from services.chassis.startup import StartupRefusedError
from services.cli.base.services import SERVICES
from services.cli.checks.findings import Finding, fail, ok, warn
from services.cli.local.mains import schema_of, settings_of

if TYPE_CHECKING:
    from services.chassis.config.settings import ServiceSettings

Loaded = Mapping[str, "ServiceSettings"]

_GIB = 1024**3
_WARN_BELOW_BYTES = _GIB
_FAIL_BELOW_BYTES = _GIB // 10
_SQLITE = "sqlite:///"
_OLDEST_SQLITE = (3, 38, 0)
# Until then two connections that checkpoint a write-ahead log at once can corrupt the database.
_SOUND_CHECKPOINTS = (3, 51, 3)
# These never cancel a streaming call that nobody reads any more.
_BROKEN_GRPC_MINORS = (83, 84, 85)
_GRPC_COMPANIONS = ("grpcio-health-checking", "grpcio-reflection", "grpcio-status")


def libraries() -> Iterator[Finding]:
    """The installed versions of the libraries that the servers need."""
    yield ok("python", f"{platform.python_implementation()} {platform.python_version()}")
    yield grpc_library(_installed("grpcio"), {name: _installed(name) for name in _GRPC_COMPANIONS})
    yield sqlite_library(sqlite3.sqlite_version_info)
    found = _installed("xds-protos")
    if found:
        yield fail(
            "xds-protos",
            f"{found} overwrites the messages by which traces are exported",
            "pip uninstall xds-protos, then reinstall opentelemetry-proto",
        )


def grpc_library(version: str, companions: Mapping[str, str]) -> Finding:
    """Judge ``1.76.0`` and the versions of the packages that have to go with it."""
    major, minor = version.split(".")[:2]
    if major == "1" and int(minor) in _BROKEN_GRPC_MINORS:
        return fail(
            "grpcio",
            f"{version} never cancels streams that were abandoned",
            "install grpcio 1.76, with which this release is tested",
        )
    mismatched = [
        f"{name} {found or 'missing'}"
        for name, found in companions.items()
        if not found.startswith(f"{major}.{minor}.")
    ]
    if mismatched:
        return warn(
            "grpcio",
            f"{version} beside {', '.join(mismatched)}",
            "install all packages of the grpcio family in one version",
        )
    return ok("grpcio", version)


def sqlite_library(version_info: tuple[int, ...]) -> Finding:
    version = ".".join(map(str, version_info))
    if version_info < _OLDEST_SQLITE:
        return fail(
            "sqlite",
            f"{version} lacks what the stores need",
            "use a Python that is built with SQLite 3.38 or newer, or PostgreSQL",
        )
    if version_info < _SOUND_CHECKPOINTS:
        return ok(
            "sqlite",
            f"{version}; before 3.51.3 two connections that checkpoint at once can corrupt a file: "
            "a server uses one, so let no other program write to its files",
        )
    return ok("sqlite", version)


def _installed(distribution: str) -> str:
    """Its version; empty when it is not there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def settings(into: dict[str, ServiceSettings]) -> Iterator[Finding]:
    """Whether the settings of each service load; those that do are put ``into``."""
    # Not with the other imports: pydantic takes a quarter of a second.
    from services.chassis.config.settings import load_settings  # noqa: PLC0415

    for service in SERVICES:
        check = f"settings {service}"
        try:
            into[service] = load_settings(settings_of(service))
        except StartupRefusedError as error:
            hint = f"correct the environment; to see what would be used: check-config {service}"
            yield fail(check, str(error), hint)
        else:
            yield ok(check, f"load from RUNYARD_{service.upper()}_*")


def access(service: str, settings: ServiceSettings) -> Finding:
    """Whether the server's certificates and tokens load; warns if it lets in other machines."""
    # Not with the other imports: it takes the server half of gRPC along.
    from services.chassis.access.entry import open_entry, peers_of  # noqa: PLC0415
    from services.chassis.config.listening import parse_address  # noqa: PLC0415

    check = f"access {service}"
    try:
        address = parse_address(settings.listen)
        entry = open_entry(settings, address, SystemClock())
        peers_of(settings, SystemClock())
    except StartupRefusedError as error:
        return fail(check, str(error), "correct it: the server would refuse to start")
    carried = "TLS" if entry.credentials else "no TLS"
    known = "tokens" if settings.token_file else "no tokens"
    if not address.loopback and settings.insecure:
        text = f"{address} is open to other machines with {carried} and {known}"
        return warn(check, text, f"unset {settings.variable('insecure')} and configure both")
    return ok(check, f"{address} with {carried} and {known}")


def database_urls(loaded: Loaded, data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The database of each service: the one its environment names, else that of ``runyard up``,
    if there is one, else the default.
    """
    found: dict[str, str] = {}
    for service, each in loaded.items():
        of_up = data / f"{service}.db"
        named = each.variable("database_url") in environment
        use_up = not named and of_up.exists()
        found[service] = f"{_SQLITE}{of_up}" if use_up else each.database_url
    return found


def database(service: str, url: str, shown: str) -> Finding:
    """Whether it can be opened and what state its schema is in; blocks."""
    check = f"database {service}"
    try:
        state = schema_of(service).verify(url)
    except DomainError as error:
        return fail(check, f"{shown}: {error.message}", f"see RUNYARD_{service.upper()}_*")
    except Exception as error:
        # A driver's own: whatever it is, the server would not start on this database.
        cause = str(error).splitlines()[0]
        return fail(check, f"{shown}: {cause}", "is it a database of this service? restore it")
    if state.found is None:
        return ok(check, f"{shown} holds nothing yet; the first start makes it")
    if state.pending:
        text = f"{shown} is at schema {state.found}, this release wants {state.wanted}"
        return warn(check, text, f"runyard migrate {service}, or start its server")
    return ok(check, f"{shown} is at schema {state.found}, the newest")


def folders(data: Path, urls: Iterable[str]) -> list[Path]:
    """Where files are kept: the data folder if it is there, and those of SQLite databases."""
    files = [Path(url.removeprefix(_SQLITE)) for url in urls if url.startswith(_SQLITE)]
    found = ([data] if data.exists() else []) + [file.parent for file in files]
    return list(dict.fromkeys(folder.absolute() for folder in found))


def disk(folder: Path) -> Finding:
    """Whether a database has room to grow there, and this user may write."""
    check = f"disk {folder}"
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return fail(check, "this user cannot write there", f"chown it, or choose another: {_DATA}")
    return room(check, shutil.disk_usage(existing).free)


def room(check: str, free_bytes: int) -> Finding:
    text = f"{free_bytes / _GIB:.1f} GiB free"
    if free_bytes < _FAIL_BELOW_BYTES:
        return fail(check, text, f"make room: a full disk refuses every write; or {_DATA}")
    if free_bytes < _WARN_BELOW_BYTES:
        return warn(check, text, f"make room, or {_DATA}")
    return ok(check, text)


_DATA = "set --data or RUNYARD_<SERVICE>_DATABASE_URL"
