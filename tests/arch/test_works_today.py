"""What the pages say is served is served, and what they say is not is not."""

from __future__ import annotations

import ast
import re

import pytest

from tests.arch.project import ROOT, SERVED_PACKAGES, SERVICES, functions, method_paths, parsed
from tests.arch.test_service_readmes import RPCS, readme

pytestmark = pytest.mark.parametrize("service", SERVICES)

_UNSERVED_ROW = re.compile(r"^\| ((?:`\w+` ?)+)\|[^|]*not served", re.MULTILINE)


def rpcs(service: str) -> set[str]:
    paths = {path for package in SERVED_PACKAGES[service] for path in method_paths(package)}
    return {path.rpartition("/")[2] for path in paths}


def unserved(service: str) -> set[str]:
    """The RPCs whose method names itself, which it does to refuse the call."""
    files = (ROOT / "services" / service / "api").glob("*servicer.py")
    return {
        method.name
        for file in files
        for method in functions(parsed(file))
        if method.name in rpcs(service)
        if any(isinstance(n, ast.Constant) and n.value == method.name for n in ast.walk(method))
    }


def test_the_page_of_the_service_says_which_rpcs_are_not_served(service: str) -> None:
    _, _, section = readme(service).partition(f"\n{RPCS}\n")
    rows = _UNSERVED_ROW.findall(section.split("\n## ", 1)[0])
    assert {name for cell in rows for name in re.findall(r"`(\w+)`", cell)} == unserved(service)


def test_the_first_page_says_how_many_rpcs_are_served(service: str) -> None:
    _, _, section = (ROOT / "README.md").read_text().partition("\n## Works today\n")
    every, refused = len(rpcs(service)), len(unserved(service))
    assert f"| `{service}` | {every - refused} of {every} |" in section.split("\n## ", 1)[0]
