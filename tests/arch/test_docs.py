"""The pages name only what exists: make targets, commands, files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from services.cli.main import app
from tests.arch.project import ROOT, SERVICES, relative

PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "tests/README.md"]
CODE = re.compile(r"```.*?```|`[^`\n]+`|^    .+$", re.DOTALL | re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
RUNYARD = re.compile(r"(?:^|[\s`/(])runyard ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
# What the first columns of the tables on the telemetry page are called.
HEADINGS = {"attribute", "metric", "span", "type"}
TARGETS = {
    "setup", "setup-run", "demo", "demo-model", "test", "test-fast", "chaos", "verify", "generate",
    "format", "bench-store", "bench-registry", "bench-rpc", "bench-router", "bench-runcontrol",
    "bench-worst-request", "worker-node", "clean", "help",
}  # fmt: skip


def code_of(page: Path) -> str:
    return "\n".join(found[0] for found in CODE.finditer(page.read_text()))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown_commands(text: str) -> Iterator[str]:
    """Words after ``runyard`` that its command tree does not have."""
    command = get_command(app)
    groups = getattr(command, "commands", {})
    for words in (found.split() for found in RUNYARD.findall(text)):
        inner = getattr(groups.get(words[0]), "commands", None)
        if words[0] not in groups or (inner and len(words) > 1 and words[1] not in inner):
            yield " ".join(words)


def test_the_makefile_has_the_promised_targets() -> None:
    assert make_targets() == TARGETS


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
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()

    pages = {page.name for page in folder.glob("[0-9]*.md")}
    assert {page for page in pages if f"]({page})" not in index} == set()
    assert len(pages) >= 11


def test_the_telemetry_page_describes_each_attribute_and_each_link_in_one_row() -> None:
    # given the first cells of all tables that describe attributes and links
    page = (ROOT / "docs" / "ops" / "telemetry.md").read_text()
    tables = re.findall(r"^\| (?:attribute|type) \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]

    # then no name is in two of them, and no table of the page escapes under another heading
    rows = Counter(name for cell in cells for name in re.findall(r"`([^`]+)`", cell))
    assert {name for name, count in rows.items() if count > 1} == set()
    assert len(rows) > 40
    assert set(re.findall(r"^\| (\w+) \|.*\n\|-", page, re.MULTILINE)) == HEADINGS
