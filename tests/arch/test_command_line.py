"""Where a command of the command line is, and that its hints are about reasons that exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from services.cli.main import app
from services.cli.talk.clients import HINTS
from tests.arch.project import CONTRACTS, ROOT
from tests.arch.test_error_reasons import declared, documented

COMMANDS = "services.cli.commands"


def typed() -> Iterator[tuple[str, str]]:
    """Every word that a person types after ``runyard``, with each module that answers to it."""
    words: Any = get_command(app)
    for word, command in words.commands.items():
        for each in getattr(command, "commands", {word: command}).values():
            yield word, each.callback.__module__


@pytest.mark.parametrize(("word", "module"), sorted(set(typed())))
def test_a_command_is_in_the_file_of_its_name(word: str, module: str) -> None:
    assert module == f"{COMMANDS}.{word.replace('-', '_')}"


def test_every_file_of_commands_is_a_command() -> None:
    folder = ROOT.joinpath(*COMMANDS.split("."))
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {word.replace("-", "_") for word, _ in typed()}


def test_every_hint_is_about_a_reason_of_the_contracts() -> None:
    assert set(HINTS) - {reason for package in CONTRACTS for reason in declared(package)} == set()


def test_the_page_explains_every_reason_with_a_hint() -> None:
    assert set(HINTS) - {reason for section in documented().values() for reason in section} == set()
