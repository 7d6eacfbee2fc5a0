"""How the doctor judges what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runyard.types.v1.server_info_service_pb2 import GetServerInfoResponse
from services.chassis.version import distribution_version
from services.cli.base.exits import CliError
from services.cli.checks import machine, servers
from services.cli.checks.findings import Level
from services.cli.checks.servers import ServerStatus
from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings

FAMILY = {"grpcio-status": "1.76.0", "grpcio-reflection": "1.76.0"}


@pytest.mark.parametrize(
    ("version", "companions", "level", "words"),
    [
        ("1.76.0", FAMILY, Level.OK, "1.76.0"),
        ("1.84.1", {}, Level.FAIL, "never cancels"),
        ("1.86.0", {"grpcio-status": "1.86.1"}, Level.OK, "1.86.0"),
        ("1.76.0", {**FAMILY, "grpcio-status": "1.7.0"}, Level.WARN, "grpcio-status 1.7.0"),
        ("1.76.0", {**FAMILY, "grpcio-status": ""}, Level.WARN, "grpcio-status missing"),
    ],
)
def test_grpc_has_to_be_sound_and_of_one_version(
    version: str, companions: Mapping[str, str], level: Level, words: str
) -> None:
    # when
    finding = machine.grpc_library(version, companions)

    # then
    assert finding.level is level
    assert words in finding.text


@pytest.mark.parametrize(
    ("version", "level", "noted"),
    [
        ((3, 37, 2), Level.FAIL, False),
        ((3, 38, 0), Level.OK, True),
        ((3, 51, 2), Level.OK, True),
        ((3, 51, 3), Level.OK, False),
    ],
)
def test_sqlite_has_strict_tables(version: tuple[int, ...], level: Level, noted: bool) -> None:
    # when
    finding = machine.sqlite_library(version)

    # then
    assert finding.level is level
    assert ("checkpoint" in finding.text) is noted


@pytest.mark.parametrize(
    ("free_bytes", "level"),
    [(50_000_000, Level.FAIL), (500_000_000, Level.WARN), (5_000_000_000, Level.OK)],
)
def test_a_disk_needs_room(free_bytes: int, level: Level) -> None:
    finding = machine.room("disk /var", free_bytes)
    assert finding.level is level
    assert bool(finding.hint) is (level is not Level.OK)


def test_a_database_is_found_in_its_state(tmp_path: Path) -> None:
    # given one that is not there, one that is up to date and one that is none
    made, noise = tmp_path / "made.db", tmp_path / "noise.db"
    SERVICE.schema.migrate(f"sqlite:///{made}")
    noise.write_bytes(b"not a database, whatever its name says" * 100)

    # when
    absent = machine.database("registry", f"sqlite:///{tmp_path}/absent.db", "absent")
    current = machine.database("registry", f"sqlite:///{made}", "made")
    broken = machine.database("registry", f"sqlite:///{noise}", "noise")

    # then
    assert [f.level for f in (absent, current, broken)] == [Level.OK, Level.OK, Level.FAIL]
    assert "the newest" in current.text
    assert "not a SQLite database" in broken.text
    assert not (tmp_path / "absent.db").exists()


def test_the_database_is_the_named_one_then_that_of_up_then_the_default(tmp_path: Path) -> None:
    # given
    loaded = {"registry": RegistrySettings(database_url="sqlite:///default.db")}
    named = {"RUNYARD_REGISTRY_DATABASE_URL": "sqlite:///default.db"}
    data = tmp_path / "data"

    # when the data folder is not there, and when it is
    without = machine.database_urls(loaded, data, {})
    data.mkdir()
    (data / "registry.db").touch()
    with_up = machine.database_urls(loaded, data, {})

    # then
    assert without == {"registry": "sqlite:///default.db"}
    assert with_up == {"registry": f"sqlite:///{data}/registry.db"}
    assert machine.database_urls(loaded, data, named) == {"registry": "sqlite:///default.db"}


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({}, Level.OK, "127.0.0.1:7401 with no TLS and no tokens"),
        ({"listen": "0.0.0.0:7401"}, Level.FAIL, "neither TLS nor authentication"),
        ({"listen": "0.0.0.0:7401", "insecure": True}, Level.WARN, "open to other machines"),
        ({"listen": "7401"}, Level.FAIL, "is not host:port"),
        ({"token_file": "/nowhere/tokens"}, Level.FAIL, "/nowhere/tokens"),
    ],
)
def test_a_server_has_to_be_safe_and_its_credentials_readable(
    fields: Mapping[str, Any], level: Level, words: str
) -> None:
    # when
    finding = machine.access("registry", RegistrySettings(**fields))

    # then
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.hint) is (level is not Level.OK)


AWAY = CliError("cannot reach router at h:1", reason="UNREACHABLE", hint="start it")


def info(service: str = "router", version: str = "", away: str = "") -> GetServerInfoResponse:
    return GetServerInfoResponse(
        service=service,
        version=version or distribution_version(),
        store_engine="sqlite",
        store_unavailable_cause=away,
    )


SERVING = ServerStatus("router", "h:1", info(), serving=True)
UNREACHABLE = ServerStatus("router", "h:1", None, refusal=AWAY)


@pytest.mark.parametrize(
    ("status", "expected", "level", "words"),
    [
        (SERVING, True, Level.OK, "serves"),
        (replace(SERVING, serving=False), True, Level.FAIL, "does not serve"),
        (replace(SERVING, info=info(away="SQLITE_FULL")), True, Level.WARN, "takes no writes"),
        (
            replace(SERVING, info=info(away="SQLITE_FULL"), serving=False),
            True,
            Level.FAIL,
            "does not serve: its sqlite database takes no writes (SQLITE_FULL)",
        ),
        (replace(SERVING, info=info("pool")), True, Level.FAIL, "answers pool"),
        (UNREACHABLE, True, Level.FAIL, "cannot reach"),
        (UNREACHABLE, False, Level.WARN, "cannot reach"),
    ],
)
def test_a_server_is_judged_by_what_was_expected(
    status: ServerStatus, expected: bool, level: Level, words: str
) -> None:
    # when
    finding = servers.server(status, expected=expected)

    # then
    assert finding.level is level
    assert words in finding.text
    assert bool(finding.hint) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("SQLITE_FULL", "make room"),
        ("CONNECTION_LOST", "start the database"),
        ("FILE_REMOVED", "restore the database"),
        ("LOG_REPLACED", "restore the database"),
        ("SQLITE_CORRUPT", "restore the database"),
        ("SQLITE_CORRUPT_INDEX", "restore the database"),
        ("DATA_CORRUPTED", "restore the database"),
        ("UNDEFINED_FILE", "restore the database"),
    ],
)
def test_the_advice_about_a_database_fits_its_cause(cause: str, advice: str) -> None:
    finding = servers.server(replace(SERVING, info=info(away=cause)), expected=True)
    assert advice in finding.hint


def test_a_server_of_another_release_is_named() -> None:
    # given
    same = ServerStatus("pool", "h:1", info("pool"), serving=True)
    other = ServerStatus("router", "h:2", info("router", "9.9.9"), serving=True)

    # when
    (alike,) = servers.versions([same])
    (skewed,) = servers.versions([same, other])

    # then
    assert alike.level is Level.OK
    assert skewed.level is Level.WARN
    assert "router 9.9.9" in skewed.text
    assert list(servers.versions([ServerStatus("pool", "h:1", None)])) == []
