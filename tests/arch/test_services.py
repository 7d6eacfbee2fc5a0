"""What every service has: policy rows, documented settings, error reasons and telemetry names."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from enum import Enum

import pytest

from scripts import settings_docs
from services.chassis.errors import DomainError
from services.chassis.metrics import declared
from tests.arch.project import (
    ROOT,
    SERVED_PACKAGES,
    SERVICES,
    method_paths,
    module_names,
    proto_files,
)

TELEMETRY_NAME = re.compile(r"(?!.*\.dev$)(runyard|router|gen_ai|rpc|error|server)(\.[a-z_]+)+")
METRIC_ROW = re.compile(
    r"^\| `([\w.]+)` \| ([a-z -]+) \| `([^`]+)` \|[^|]*\| ([^|]+) \|$", re.MULTILINE
)


def policy_of(service: str) -> Mapping[str, object]:
    policy: Mapping[str, object] = importlib.import_module(f"services.{service}.api.policy").POLICY
    return policy


def reasons_of(package: str) -> set[str]:
    """Values of a package's ErrorReason, as ErrorInfo.reason carries them."""
    (file,) = (
        file
        for file in proto_files()
        if file.package == f"runyard.{package}.v1" and "ErrorReason" in file.enum_types_by_name
    )
    names = file.enum_types_by_name["ErrorReason"].values_by_name
    return {name.removeprefix("ERROR_REASON_") for name in names} - {"UNSPECIFIED"}


def raised_by(service: str) -> set[str]:
    """Reasons of the domain errors that a service defines, and of the chassis's."""
    modules = [
        importlib.import_module(name)
        for name in module_names()
        if name.startswith(("services.chassis.", f"services.{service}."))
    ]
    return {
        item.reason
        for module in modules
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, DomainError) and hasattr(item, "reason")
        if item.__module__ != "services.chassis.health"  # answers for grpc.health.v1, not for us
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_rpc_has_a_policy_row(service: str) -> None:
    wanted = {path for package in SERVED_PACKAGES[service] for path in method_paths(package)}
    assert set(policy_of(service)) == wanted


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_says_what_it_does(service: str) -> None:
    fields = settings_docs.settings_of(service).model_fields
    assert {name for name, field in fields.items() if not field.description} == set()


def test_every_setting_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = settings_docs.main(["--check"])
    assert exit_code == 0, capsys.readouterr().err
    assert all(f"<!-- table: {s} -->" in settings_docs.PAGE.read_text() for s in SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_reason_that_is_raised_is_in_the_contract(service: str) -> None:
    wanted = {reason for package in SERVED_PACKAGES[service] for reason in reasons_of(package)}
    assert raised_by(service) - wanted == set()


@pytest.mark.parametrize("package", sorted({p for ps in SERVED_PACKAGES.values() for p in ps}))
def test_every_error_reason_is_documented(package: str) -> None:
    page = (ROOT / "docs" / "ops" / "errors.md").read_text()
    assert {reason for reason in reasons_of(package) if f"`{reason}`" not in page} == set()


def test_every_telemetry_name_is_documented() -> None:
    # given
    page = (ROOT / "docs" / "ops" / "telemetry.md").read_text()

    # when
    names = {
        value
        for module in map(importlib.import_module, module_names())
        for key, value in vars(module).items()
        if isinstance(value, str)
        if TELEMETRY_NAME.fullmatch(value) or key.startswith("LINK_")
    }

    # then
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert len(names) > 10


def test_every_metric_is_documented_as_it_is_declared() -> None:
    # given
    page = (ROOT / "docs" / "ops" / "telemetry.md").read_text()
    documented = {
        name: (kind, unit, meaning) for name, kind, unit, meaning in METRIC_ROW.findall(page)
    }

    # when
    for module in module_names():
        importlib.import_module(module)

    # then
    assert {
        name: (metric.kind, metric.unit, metric.description) for name, metric in declared().items()
    } == documented
    assert len(documented) > 10


def decoding_tables() -> dict[str, Mapping[int, Enum]]:
    """Tables of the convert modules that turn enum numbers of the wire into ours."""
    return {
        f"{name}.{key}": value
        for name in module_names()
        if "convert" in name.rsplit(".", 1)[-1]
        for key, value in vars(importlib.import_module(name)).items()
        if key.endswith("_FROM_PB") and isinstance(value, dict)
    }


def test_every_enum_value_can_come_from_the_wire() -> None:
    # given
    tables = decoding_tables()

    # then: total over our enum, one number per value
    for name, table in tables.items():
        values = list(table.values())
        enums = {type(value) for value in values}
        assert len(values) == len(set(values)), name
        if all(issubclass(enum, Enum) for enum in enums):
            assert {member for enum in enums for member in enum} == set(values), name
    assert len(tables) > 4
