"""One layout for every service: the same job is in a file of the same name."""

from __future__ import annotations

import importlib

import pytest

from tests.arch.project import ROOT, SERVICES
from tests.arch.test_services import enum_tables

pytestmark = pytest.mark.parametrize("service", SERVICES)

REQUIRED = (
    "README.md", "__init__.py", "__main__.py", "main.py", "settings.py", "api/servicer.py",
    "api/policy.py", "api/requests.py", "api/responses.py", "api/enums.py", "api/sizes.py",
    "core/model.py",
    "core/errors.py", "core/ports.py", "store/tables.py", "store/statements.py", "store/rows.py",
)  # fmt: skip
ROOMS = {"api", "clients", "core", "engine", "store"}
API = {"__init__", "servicer", "policy", "requests", "responses", "enums", "sizes"}
# Resources go both ways, a file per kind; a codec makes the bodies that a store keeps; run control
# serves two more contracts, to workers and to the other services.
READ_API = {"read_requests", "read_responses"}
WORKER_API = {"worker_requests", "worker_responses", "worker_servicer"}
INTERNAL_API = {"internal_requests", "internal_responses", "internal_servicer"}
MORE_API = {
    "registry": {"resources"},
    "runcontrol": {"codec", *READ_API, *WORKER_API, *INTERNAL_API},
}
PORTS = {
    "registry": ("Reads", "Tx", "Store"),
    "router": ("Store",),  # each of its calls of the store is a transaction of its own
    "runcontrol": ("Reads", "Tx", "Store"),
    "pool": ("Reads", "Tx", "Store"),
}


def modules(service: str, room: str) -> set[str]:
    """Names of the modules and packages in a room."""
    found = (ROOT / "services" / service / room).iterdir()
    return {each.stem for each in found if each.suffix == ".py" or (each / "__init__.py").exists()}


def test_a_service_has_the_files_of_the_layout(service: str) -> None:
    folder = ROOT / "services" / service
    assert [name for name in REQUIRED if not (folder / name).exists()] == []


def test_a_service_has_no_room_beside_those_of_the_layout(service: str) -> None:
    folder = ROOT / "services" / service
    assert {each.parent.name for each in folder.glob("*/__init__.py")} <= ROOMS


def test_the_wire_face_has_the_files_of_the_layout_and_no_other(service: str) -> None:
    assert modules(service, "api") == API | MORE_API.get(service, set())


def test_the_enums_of_a_contract_are_tables_of_one_module(service: str) -> None:
    homes = (f"services.{service}.api.enums", "services.content.convert")
    known = {id(value) for home in homes for value in vars(importlib.import_module(home)).values()}

    others = {
        name
        for name, table in enum_tables().items()
        if name.startswith(f"services.{service}.api.") and id(table) not in known
    }

    assert others == set()


def test_a_store_is_reached_through_one_port(service: str) -> None:
    ports = importlib.import_module(f"services.{service}.core.ports")

    missing = [name for name in PORTS[service] if not hasattr(ports, name)]
    parts = {base.__name__ for base in getattr(ports, "Tx", object).__mro__}
    others = {
        name for name in vars(ports) if name.endswith(("Reads", "Reader", "Tx", "Store", "Writes"))
    }

    assert missing == []
    assert others - parts - set(PORTS[service]) == set()
