"""The contract, the code and the page about errors say the same."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping

import pytest

from services.chassis.calls.rpc_status import CODE_OF
from services.chassis.errors import DomainError
from tests.arch.project import CONTRACTS, ROOT, SERVED_PACKAGES, module_names, proto_files

COMMON = "Common to all services"
PAGE = ROOT / "docs" / "ops" / "errors.md"
NEVER_A_STATUS = "none"

# What the contracts name and no error of this version has: reasons of what is not served yet, and
# those that records carry.
NOT_RAISED: Mapping[str, str] = {
    "registry": "",
    "router": "",
    "runcontrol": (
        "INFERENCE_REFUSED JOIN_REFUSED LEASE_LOST PIN_LOST PROMPT_TOO_LARGE "
        "ROUTER_UNAVAILABLE TARGET_BUSY"
    ),
    "worker": "",
    "pool": "LIMIT_EXCEEDED LOG_CORRUPT POOL_CLOSED RUN_TERMINAL STALE_ETAG STALE_INCARNATION",
}

_VALUE = re.compile(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = (\d+);")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def declared(package: str) -> Mapping[str, str]:
    """Reasons of a package's enum, and the code that its comment names."""
    text = (ROOT / "protos" / "runyard" / package / "v1" / "errors.proto").read_text()
    return {
        name: _code_in(comment) for comment, name, number in _VALUE.findall(text) if number != "0"
    }


def _code_in(comment: str) -> str:
    words = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    found = re.match(r"([A-Z_]+)(?: with RetryInfo)?: ", words)
    return found[1] if found else NEVER_A_STATUS


def documented() -> Mapping[str, Mapping[str, str]]:
    """Reasons and codes of the page, by section."""
    parts = _SECTION.split(PAGE.read_text())
    return {
        title: {reason: code for reason, code, _, _ in _ROW.findall(body)}
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def raised() -> Iterator[tuple[str, type[DomainError]]]:
    """Every concrete error class, and the module it is in."""
    seen = set()
    for name in module_names():
        for _, found in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            if issubclass(found, DomainError) and hasattr(found, "reason") and found not in seen:
                seen.add(found)
                yield found.__module__, found


def allowed(module: str) -> Mapping[str, str]:
    """What an error of ``module`` may be: its own service's reasons, or those all have."""
    service = module.split(".")[1]
    if service in SERVED_PACKAGES:
        packages = SERVED_PACKAGES[service]
        return {reason: code for package in packages for reason, code in declared(package).items()}
    everywhere = set.intersection(*(set(declared(package)) for package in ("router", "runcontrol")))
    return {reason: declared("router")[reason] for reason in everywhere}


@pytest.mark.parametrize("package", CONTRACTS)
def test_the_page_lists_every_reason_with_its_code(package: str) -> None:
    page = documented()

    own = {**page[COMMON], **page[package]}

    assert own == declared(package)


@pytest.mark.parametrize("package", CONTRACTS)
def test_every_error_reason_is_documented(package: str) -> None:
    """Also one that ``declared`` does not find in the text, for its options or its comment."""
    enums = [
        file.enum_types_by_name["ErrorReason"]
        for file in proto_files()
        if file.package == f"runyard.{package}.v1" and "ErrorReason" in file.enum_types_by_name
    ]

    names = {name.removeprefix("ERROR_REASON_") for enum in enums for name in enum.values_by_name}

    page = PAGE.read_text()
    assert {name for name in names - {"UNSPECIFIED"} if f"`{name}`" not in page} == set()
    assert len(names) > 5


def test_the_page_has_no_section_of_its_own_making() -> None:
    assert set(documented()) == {COMMON, *CONTRACTS}


def test_every_row_of_the_page_says_what_to_do() -> None:
    rows = _ROW.findall(PAGE.read_text())
    assert len(rows) > 80
    assert [reason for reason, _, meaning, cure in rows if len(meaning) < 8 or len(cure) < 8] == []


def test_every_error_has_a_reason_of_its_service() -> None:
    errors = list(raised())

    foreign = {
        f"{module}.{error.__name__}": error.reason
        for module, error in errors
        if error.reason not in allowed(module)
    }

    assert foreign == {}
    assert len(errors) > 30


@pytest.mark.parametrize(
    ("service", "package"),
    [(service, package) for service, packages in SERVED_PACKAGES.items() for package in packages],
)
def test_every_reason_is_that_of_an_error_or_is_left_on_purpose(service: str, package: str) -> None:
    elsewhere = tuple(f"services.{each}." for each in SERVED_PACKAGES if each != service)
    reasons = {error.reason for module, error in raised() if not module.startswith(elsewhere)}

    # Whatever is no error of ours is answered as INTERNAL.
    left = declared(package).keys() - reasons - {"INTERNAL"}

    assert left == set(NOT_RAISED[package].split())


def test_every_error_of_a_core_is_made_by_of() -> None:
    cores = [error for module, error in raised() if module.endswith(".core.errors")]
    assert [error.__name__ for error in cores if not hasattr(error, "of")] == []
    assert len(cores) > 30


def test_every_error_has_the_code_of_its_reason() -> None:
    """One reason with two codes could not be documented, nor relied on."""
    wrong = {
        error.__name__: CODE_OF[error.kind].name
        for module, error in raised()
        # Loops raise these to be tried again; they reach no client.
        if ".clients." not in module
        if CODE_OF[error.kind].name != allowed(module).get(error.reason)
    }
    assert wrong == {}
