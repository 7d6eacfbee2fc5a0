"""What every service has: policy rows, documented settings, error reasons and telemetry names."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt

from scripts import settings_docs
from services.chassis.observe.metrics import declared
from services.chassis.protobuf.enums import EnumTable
from tests.arch import test_error_reasons as error_reasons
from tests.arch.project import (
    ROOT,
    SERVED_PACKAGES,
    SERVICES,
    method_paths,
    module_names,
    parsed,
    python_files,
    relative,
)

CHASSIS_NAMES = ROOT / "services" / "chassis" / "observe" / "names.py"
TELEMETRY_PAGE = ROOT / "docs" / "ops" / "telemetry.md"
TELEMETRY_NAME = re.compile(r"(?!.*\.dev$)(runyard|router|gen_ai|rpc|error|server)(\.[a-z_]+)+")
UNITS = ("_s", "_days")
METRIC_ROW = re.compile(
    r"^\| `([\w.]+)` \| ([a-z -]+) \| `([^`]+)` \|[^|]*\| ([^|]+) \|$", re.MULTILINE
)


def policy_of(service: str) -> Mapping[str, object]:
    policy: Mapping[str, object] = importlib.import_module(f"services.{service}.api.policy").POLICY
    return policy


def raised_by(service: str) -> set[str]:
    """Reasons of the domain errors that a service defines, and of the chassis's."""
    return {
        error.reason
        for module, error in error_reasons.raised()
        if module.startswith(("services.chassis.", f"services.{service}."))
        if module != "services.chassis.server.health"  # answers for grpc.health.v1, not for us
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_rpc_has_a_policy_row(service: str) -> None:
    wanted = {path for package in SERVED_PACKAGES[service] for path in method_paths(package)}
    assert set(policy_of(service)) == wanted


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_says_what_it_does(service: str) -> None:
    fields = settings_docs.settings_of(service).model_fields
    assert {name for name, field in fields.items() if not field.description} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_number_of_the_settings_has_a_bound_and_a_unit(service: str) -> None:
    """A number that is counted has no unit; one with a fraction is of something."""
    fields = settings_docs.settings_of(service).model_fields
    numbers = {name: field for name, field in fields.items() if field.annotation in {int, float}}

    unbounded = [
        name
        for name, field in numbers.items()
        if not any(isinstance(each, Ge | Gt) for each in field.metadata)
    ]
    fractions = [name for name, field in numbers.items() if field.annotation is float]

    assert unbounded == []
    assert [name for name in fractions if not name.endswith(UNITS)] == []
    assert fractions != []


def test_every_setting_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = settings_docs.main(["--check"])
    assert exit_code == 0, capsys.readouterr().err
    page = settings_docs.PAGE.read_text()
    assert [each for each in SERVICES if f"<!-- table: {each} -->" not in page] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_reason_that_is_raised_is_in_the_contract(service: str) -> None:
    wanted = {r for package in SERVED_PACKAGES[service] for r in error_reasons.declared(package)}
    assert raised_by(service) - wanted == set()


def telemetry_names(path: Path) -> set[str]:
    """Strings of a module that are names of metrics, spans or attributes, not of failpoints."""
    nodes = list(ast.walk(parsed(path)))
    failpoints = [
        node.args[0]
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoint"
    ]
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if TELEMETRY_NAME.fullmatch(node.value) and node not in failpoints
    }


@pytest.mark.parametrize("folder", [*SERVICES, "chassis", "content", "wire"])
def test_telemetry_is_named_in_one_module(folder: str) -> None:
    found = {
        relative(path): names
        for path in python_files(f"services/{folder}")
        if path.name != "telemetry_names.py" and path != CHASSIS_NAMES
        if (names := telemetry_names(path))
    }
    assert found == {}


def test_every_telemetry_name_is_documented() -> None:
    page = TELEMETRY_PAGE.read_text()

    names = {
        value
        for module in map(importlib.import_module, module_names())
        for key, value in vars(module).items()
        if isinstance(value, str)
        if TELEMETRY_NAME.fullmatch(value) or key.startswith("LINK_")
    }

    assert {name for name in names if f"`{name}`" not in page} == set()
    assert len(names) > 10


def test_every_metric_is_documented_as_it_is_declared() -> None:
    page = TELEMETRY_PAGE.read_text()
    documented = {name: rest for name, *rest in METRIC_ROW.findall(page)}

    for module in module_names():
        importlib.import_module(module)

    known = {name: [m.kind, m.unit, m.description] for name, m in declared().items()}
    assert known == documented
    assert len(documented) > 10


def enum_tables() -> dict[str, EnumTable[Any]]:
    return {
        f"{name}.{key}": value
        for name in module_names()
        for key, value in vars(importlib.import_module(name)).items()
        if isinstance(value, EnumTable)
    }


def is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, Enum | bool)


def enum_dicts() -> Iterator[str]:
    """Plain dicts between numbers and members of an enum, where the services meet contracts."""
    for module in map(importlib.import_module, module_names()):
        if module.__name__.startswith(("services.chassis.", "services.cli.")):
            continue
        if "from runyard." not in Path(str(module.__file__)).read_text():
            continue
        for key, value in vars(module).items():
            if isinstance(value, Mapping) and any(
                (is_number(one) and isinstance(other, Enum))
                or (is_number(other) and isinstance(one, Enum))
                for one, other in value.items()
            ):
                yield f"{module.__name__}.{key}"


def test_enums_of_the_contract_are_converted_by_tables_alone() -> None:
    """A dict does not fail when either side gets one more value."""
    assert list(enum_dicts()) == []


def test_every_enum_value_that_is_written_can_be_read() -> None:
    """That none is missing on either side is found at import."""
    tables = enum_tables()
    for name, table in tables.items():
        assert sorted(table.from_pb.values(), key=str) == sorted(table.to_pb, key=str), name
    assert len(tables) > 20
