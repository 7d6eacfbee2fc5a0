"""What is installed is what the lock file says, without the packages that are known to hurt."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import distributions, version

import pytest
from packaging.requirements import Requirement

from scripts import bootstrap
from tests.arch.project import ROOT

GRPC_FAMILY = (
    "grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status", "grpcio-tools"
)  # fmt: skip


def installed() -> dict[str, str]:
    return {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version
        for found in distributions()
    }


def test_the_grpc_family_has_one_version() -> None:
    assert {version(name) for name in GRPC_FAMILY} == {version("grpcio")}


def test_grpc_is_not_one_that_never_cancels_an_abandoned_stream() -> None:
    assert not re.match(r"1\.8[345]\.", version("grpcio"))


def test_no_package_overwrites_the_protos_of_opentelemetry() -> None:
    # xds-protos ships its own copy of opentelemetry/proto and opencensus/proto.
    assert "xds-protos" not in installed()


def test_the_environment_is_the_locked_one() -> None:
    lock = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
    wanted = {r.name: r for r in lock if r.marker is None or r.marker.evaluate()}

    here = installed()

    assert {
        name: here.get(name)
        for name, requirement in wanted.items()
        if name not in here or not requirement.specifier.contains(here[name])
    } == {}
    assert len(wanted) > 50


def names_of(lock: str) -> set[str]:
    return set((ROOT / lock).read_text().splitlines())


def test_what_runs_is_a_part_of_what_is_locked() -> None:
    # given what the demo installs, and what it is made of
    runs, everything = names_of("requirements-run.lock"), names_of("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    tools = [each for each in project["dependency-groups"]["dev"] if isinstance(each, str)]

    # then each is pinned as in the other lock, all that is asked for is there, and no tool is
    assert runs - everything == set()
    pinned = {Requirement(line).name for line in runs}
    assert {Requirement(each).name for each in asked} - pinned == set()
    assert {Requirement(each).name for each in tools} & pinned == set()


def test_progress_counts_every_line_of_pip_about_a_package(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # given what pip says of four packages, one of each sort
    said = [
        "Looking in links: ./build/wheelhouse",
        "Ignoring tzdata: markers 'sys_platform == \"win32\"' don't match your environment",
        "Collecting aiohttp==3.11.0 (from -r requirements.lock (line 1))",
        "  Downloading aiohttp-3.11.0-cp311.whl (1.7 MB)",
        "Processing ./build/wheelhouse/alembic-1.15.0-py3-none-any.whl",
        "Requirement already satisfied: grpcio==1.76.0 in ./.venv (1.76.0)",
    ]

    # when they are heard
    heard = bootstrap.counting(bootstrap.Progress(4), 4)
    for line in said:
        heard(f"{line}\n")

    # then all four are counted
    assert capsys.readouterr().out == "            4 of 4\n"


def test_an_old_python_can_read_the_set_up_that_refuses_it() -> None:
    source = (ROOT / "scripts" / "bootstrap.py").read_text()
    assert ast.parse(source, feature_version=(3, 6)).body
    assert "from __future__ import annotations" not in source  # 3.7 and newer
