"""Tests wait for events and use fakes that share a suite with what they stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.arch.project import ROOT, parsed, python_files, relative
from tests.support.waiting import LIMIT_S

TESTS = python_files("tests")
_SLEEPS = {"time.sleep", "asyncio.sleep"}
_LIMITS_OF_ASYNCIO = {"asyncio.timeout", "asyncio.wait_for"}
_PARKED = "run_parked"


def that_say(*words: str) -> list[Path]:
    """The tests with one of ``words`` in their text; to parse all of them takes seconds."""
    return [path for path in TESTS if any(word in path.read_text() for word in words)]


def calls(path: Path) -> Iterator[tuple[int, str, list[Any]]]:
    """Line, function and arguments of every call; None for one that is no literal."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            given = [*node.args, *(each.value for each in node.keywords)]
            yield node.lineno, ast.unparse(node.func), [getattr(e, "value", None) for e in given]


def sleeps(path: Path) -> Iterator[str]:
    """Calls of time.sleep, and of asyncio.sleep with anything but 0; imports of their names."""
    for line, called, values in calls(path):
        if called == "time.sleep" or (called == "asyncio.sleep" and values[:1] != [0]):
            yield f"line {line}: {called}"
    yield from (f"imports {name}" for name in sorted(imported(path) & _SLEEPS))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def short_limits(path: Path) -> Iterator[int]:
    """Lines that limit a wait, by asyncio, to a number of seconds between 0.1 and 30."""
    for line, called, values in calls(path):
        seconds = [each for each in values[-1:] if isinstance(each, int | float)]
        if called in _LIMITS_OF_ASYNCIO and any(0.1 <= each < LIMIT_S for each in seconds):
            yield line


def test_no_test_sleeps() -> None:
    found = {relative(path): list(sleeps(path)) for path in that_say("sleep")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_test_mocks() -> None:
    found = {
        relative(path): {name for name in imported(path) if "mock" in name.split(".")}
        for path in that_say("mock")
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_folders_of_tests_are_packages() -> None:
    folders = {path.parent for path in TESTS if path.name.startswith("test_")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
    assert len(folders) > 3


def test_the_readme_names_every_folder_and_every_support_module() -> None:
    readme = (ROOT / "tests" / "README.md").read_text()

    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "tests" / "support").glob("[a-z]*.py")}

    assert {name for name in folders if f"`{name}/`" not in readme} == set()
    assert {name for name in modules if f"`{name}`" not in readme} == set()
    assert len(modules) > 20


def test_no_test_waits_in_real_time_for_less_than_a_busy_machine_needs() -> None:
    """``within_limit()`` is the limit; shorter ones, of a hundredth, are deadlines under test."""
    found = {relative(path): list(short_limits(path)) for path in that_say(*_LIMITS_OF_ASYNCIO)}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_park_is_awaited_by_what_the_run_waits_for() -> None:
    """``until_parked`` is: a run that joins a pool parks for that before it parks for anything."""
    found = {
        relative(path): [line for line, _, values in calls(path) if _PARKED in values]
        for path in that_say(_PARKED)
    }
    assert {path: lines for path, lines in found.items() if lines} == {}
