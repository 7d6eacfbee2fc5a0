"""A command starts quickly: it does not load what only servers need."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("aiohttp", "alembic", "psycopg", "pydantic", "sqlalchemy")


def test_a_command_loads_nothing_that_only_servers_need() -> None:
    # when every command is there
    loaded = subprocess.run(
        [sys.executable, "-c", "import services.cli.main, sys; print('\\n'.join(sys.modules))"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()

    # then
    assert "services.cli.get" in loaded
    assert [name for name in HEAVY if name in loaded] == []
