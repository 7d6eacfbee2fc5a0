"""The contract, the code and the page about errors say the same."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping

import pytest

from services.chassis.errors import DomainError
from services.chassis.rpc_status import CODE_OF
from tests.arch.project import ROOT, SERVED_PACKAGES, module_names

PACKAGES = sorted({package for packages in SERVED_PACKAGES.values() for package in packages})
COMMON = "Common to all services"
PAGE = ROOT / "docs" / "ops" / "errors.md"
NEVER_A_STATUS = "none"

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


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_lists_every_reason_with_its_code(package: str) -> None:
    # given
    page = documented()

    # when
    own = {**page[COMMON], **page[package]}

    # then
    assert own == declared(package)


def test_the_page_has_no_section_of_its_own_making() -> None:
    assert set(documented()) == {COMMON, *PACKAGES}


def test_every_row_of_the_page_says_what_to_do() -> None:
    rows = _ROW.findall(PAGE.read_text())
    assert len(rows) > 80
    assert [reason for reason, _, meaning, cure in rows if len(meaning) < 8 or len(cure) < 8] == []


def test_every_error_has_a_reason_of_its_service() -> None:
    # given
    errors = list(raised())

    # when
    strangers = {
        f"{module}.{error.__name__}": error.reason
        for module, error in errors
        if error.reason not in allowed(module)
    }

    # then
    assert strangers == {}
    assert len(errors) > 30


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
