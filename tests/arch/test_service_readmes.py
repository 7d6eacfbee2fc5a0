"""The README of a service has a row for each of its RPCs and of its own error reasons."""

from __future__ import annotations

import re

import pytest

from tests.arch.project import ROOT, SERVED_PACKAGES, SERVICES, method_paths
from tests.arch.test_error_reasons import COMMON, declared, documented

pytestmark = pytest.mark.parametrize("service", SERVICES)

_ROW = re.compile(r"^\| ((?:`\w+` ?)+)\|", re.MULTILINE)
_NAME = re.compile(r"`([A-Z]\w+)`")
RPCS, ERRORS = "## RPCs", "## Errors"


def readme(service: str) -> str:
    return (ROOT / "services" / service / "README.md").read_text()


def rows(page: str, heading: str) -> set[str]:
    """What the first cells of the tables under ``heading`` name."""
    _, _, section = page.partition(f"\n{heading}\n")
    cells = _ROW.findall(section.split("\n## ", 1)[0])
    return {name for cell in cells for name in _NAME.findall(cell)}


def test_the_page_has_a_row_for_every_rpc_and_no_other(service: str) -> None:
    paths = {path for package in SERVED_PACKAGES[service] for path in method_paths(package)}
    assert rows(readme(service), RPCS) == {path.rpartition("/")[2] for path in paths}


def test_the_page_has_a_row_for_every_error_reason_and_none_that_is_gone(service: str) -> None:
    common = set(documented()[COMMON])
    reasons = {reason for package in SERVED_PACKAGES[service] for reason in declared(package)}

    shown = rows(readme(service), ERRORS)

    assert reasons - common <= shown
    assert shown <= reasons
