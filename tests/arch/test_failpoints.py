"""Every failpoint is listed in the chassis's README, and every name of that list exists."""

from __future__ import annotations

import ast
import re

from tests.arch.project import ROOT, parsed, python_files

README = ROOT / "services" / "chassis" / "README.md"
# A row of the table: the area, then its moments before the first colon.
ROW = re.compile(r"^\| `(\w+)` \| ([^:|]+)", re.MULTILINE)


def declared() -> list[str]:
    """The argument of every call of ``failpoint``."""
    return [
        str(ast.literal_eval(node.args[0]))
        for path in python_files("services")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoint"
    ]


def listed() -> list[str]:
    section = README.read_text().split("\n## Failpoints\n")[1].split("\n## ")[0]
    return [
        f"{area}.{moment}"
        for area, moments in ROW.findall(section)
        for moment in re.findall(r"`(\w+)`", moments)
    ]


def test_the_list_of_failpoints_is_complete() -> None:
    assert sorted(listed()) == sorted(declared())
    assert len(listed()) > 30
