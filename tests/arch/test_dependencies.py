"""What is installed is what the lock file says, without the packages that are known to hurt."""

from __future__ import annotations

import ast
import re
from importlib.metadata import distributions, version

from packaging.requirements import Requirement

from tests.arch.project import ROOT

GRPC_FAMILY = (
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "grpcio-status",
    "grpcio-tools",
)


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
    # given
    lock = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
    wanted = {r.name: r for r in lock if r.marker is None or r.marker.evaluate()}

    # when
    here = installed()

    # then
    wrong = {
        name: here.get(name)
        for name, requirement in wanted.items()
        if here.get(name) is None or not requirement.specifier.contains(here[name])
    }
    assert wrong == {}
    assert len(wanted) > 50


def test_an_old_python_can_read_the_set_up_that_refuses_it() -> None:
    source = (ROOT / "scripts" / "bootstrap.py").read_text()
    assert ast.parse(source, feature_version=(3, 6)).body
    assert "from __future__ import annotations" not in source  # 3.7 and newer
