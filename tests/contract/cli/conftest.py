"""What runs the commands of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.cli import process
from tests.contract.cli.command_server import command_server


@pytest.fixture(scope="session", autouse=True)
def _commands() -> Iterator[None]:
    """One server of commands for all tests here."""
    with command_server() as server:
        process.commands.append(server)
        yield
        process.commands.remove(server)
