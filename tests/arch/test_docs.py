"""The pages name only what exists: make targets, commands, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from services.cli.main import app
from tests.arch.project import ROOT, SERVICES, relative

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]+`|^    .+$", re.DOTALL | re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
RUNYARD = re.compile(r"(?:^|[\s`/(])runyard ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
TARGETS = (
    "setup",
    "demo",
    "demo-model",
    "test",
    "test-fast",
    "chaos",
    "verify",
    "generate",
    "format",
    "bench-store",
    "bench-registry",
    "clean",
    "help",
)


def code_of(page: Path) -> str:
    return "\n".join(found[0] for found in CODE.finditer(page.read_text()))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown_commands(text: str) -> Iterator[str]:
    """Words after ``runyard`` that its command tree does not have."""
    command = get_command(app)
    groups = getattr(command, "commands", {})
    for words in (found.split() for found in RUNYARD.findall(text)):
        if words[0] not in groups:
            yield " ".join(words)
            continue
        inner = getattr(groups[words[0]], "commands", None)
        if inner is not None and len(words) > 1 and words[1] not in inner:
            yield " ".join(words)


def test_the_makefile_has_the_promised_targets() -> None:
    assert make_targets() == set(TARGETS)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_names_only_make_targets_that_exist(page: Path) -> None:
    assert set(MAKE.findall(code_of(page))) - make_targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    assert list(unknown_commands(code_of(page))) == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert {link for link in links if not (page.parent / link).exists()} == set()


def test_the_readme_names_every_service() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {service for service in SERVICES if f"`{service}`" not in readme} == set()


def test_every_decision_is_listed() -> None:
    # given
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()

    # then
    pages = {page.name for page in folder.glob("[0-9]*.md")}
    assert {page for page in pages if f"]({page})" not in index} == set()
    assert len(pages) >= 11
