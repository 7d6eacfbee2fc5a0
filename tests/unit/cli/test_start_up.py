"""A command starts quickly: it imports neither other commands nor what only servers need."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Of servers, of other commands, of Typer where it converts, of traces where none are exported.
HEAVY = ("aiohttp", "alembic", "opentelemetry.sdk", "psycopg", "pydantic", "requests", "sqlalchemy")
NOWHERE = "registry=127.0.0.1:1,router=127.0.0.1:1,runcontrol=127.0.0.1:1,pool=127.0.0.1:1"
MODULES = """
import atexit, sys
import services.cli.main
atexit.register(lambda: print(*sys.modules))
sys.argv[1:] = {arguments}
services.cli.main.main()
"""


def loaded(*arguments: str) -> set[str]:
    """What a process has imported that ran this command, which finds no server."""
    told = subprocess.run(
        [sys.executable, "-c", MODULES.format(arguments=[*arguments])],
        check=False,
        env={"RUNYARD_ENDPOINTS": NOWHERE},
        capture_output=True,
        text=True,
    )
    assert "UNREACHABLE" in told.stderr, told.stderr
    return set(told.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "agents", "-o", "json"),
        ("tickets",),
        ("infer", "m", "hello"),
        ("run", "narrator", "hello"),
        ("pool", "open", "harbour"),
        ("provider", "preview-remove", "north"),
    ],
)
def test_a_command_loads_what_it_needs_alone(arguments: tuple[str, ...]) -> None:
    # when
    found = loaded(*arguments)

    # then
    assert [name for name in HEAVY if name in found] == []
    commands = {name for name in found if name.startswith("services.cli.commands.")}
    assert commands == {f"services.cli.commands.{arguments[0]}"}
    # and of the four services the one that it asks
    assert len({name for name in found if name.endswith("_service_pb2_grpc")}) == 1
