"""Sizes, names and words that a reader of the whole can rely on."""

from __future__ import annotations

import ast
import re

from tests.arch.project import ROOT, functions, parsed, python_files, relative

FILE_LIMIT_LINES = 500
FUNCTION_LIMIT_LINES = 60
SERVICER_METHOD_LIMIT_STATEMENTS = 6
# Spelt so that this file does not contain what it looks for.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
VAGUE_FILES = {"utils.py", "util.py", "common.py", "helpers.py", "misc.py"}
VAGUE_CLASS = re.compile(r"(Manager|Impl|Helper)$")
OURS = python_files("services", "scripts", "tests")
PRODUCT = python_files("services", "scripts")
TEXTS = [
    path
    for folder in ("services", "scripts", "tests", "protos", "docs", "examples", "deploy")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".proto", ".md", ".yaml", ".sh"}
] + sorted(ROOT.glob("*.md"))


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Statements of the body at every depth, the docstring not counted."""
    inside = [node for top in function.body for node in ast.walk(top) if isinstance(node, ast.stmt)]
    return len(inside) - (ast.get_docstring(function) is not None)


def test_files_have_at_most_500_lines() -> None:
    counts = {relative(path): len(path.read_text().splitlines()) for path in OURS}
    assert {path: count for path, count in counts.items() if count > FILE_LIMIT_LINES} == {}


def test_functions_have_at_most_60_lines() -> None:
    counts = {
        f"{relative(path)}:{function.lineno} {function.name}": lines(function)
        for path in PRODUCT
        if "migrations" not in path.parts  # lists of columns
        for function in functions(parsed(path))
    }
    assert {name: count for name, count in counts.items() if count > FUNCTION_LIMIT_LINES} == {}


def test_servicer_methods_have_at_most_6_statements() -> None:
    servicers = [path for path in PRODUCT if "servicer" in path.stem or path.stem == "server_info"]

    counts = {
        f"{relative(path)}:{function.lineno} {function.name}": statements(function)
        for path in servicers
        for function in functions(parsed(path))
        if function.name[0].isupper()
    }

    limit = SERVICER_METHOD_LIMIT_STATEMENTS
    assert {name: count for name, count in counts.items() if count > limit} == {}
    assert counts


def test_nothing_says_that_it_is_unfinished() -> None:
    found = {relative(path): UNFINISHED.findall(path.read_text()) for path in TEXTS}
    assert {path: words for path, words in found.items() if words} == {}


def test_names_say_what_a_thing_is() -> None:
    vague = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in PRODUCT
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.search(node.name)
    ]
    assert vague + [relative(path) for path in PRODUCT if path.name in VAGUE_FILES] == []
