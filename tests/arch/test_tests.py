"""Tests wait for events and use fakes that share a suite with what they stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.arch.project import parsed, python_files, relative

TESTS = python_files("tests")


def sleeps(path: Path) -> Iterator[int]:
    """Lines that call time.sleep, or asyncio.sleep with anything but 0."""
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        turn_of_the_loop = (
            bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        )
        if called == "time.sleep" or (called == "asyncio.sleep" and not turn_of_the_loop):
            yield node.lineno


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_test_sleeps() -> None:
    found = {relative(path): list(sleeps(path)) for path in TESTS}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_test_mocks() -> None:
    found = {
        relative(path): {name for name in imported(path) if "mock" in name.split(".")}
        for path in TESTS
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_folders_of_tests_are_packages() -> None:
    folders = {path.parent for path in TESTS if path.name.startswith("test_")}
    assert {
        relative(folder) for folder in folders if not (folder / "__init__.py").exists()
    } == set()
    assert len(folders) > 3
