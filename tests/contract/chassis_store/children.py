"""Other processes that use the database of a test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract.chassis_store.engines import Engine

_ROOT = Path(__file__).parents[3]


@contextmanager
def child(database: Engine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with a store on ``database``; killed at the end whatever happened."""
    command = [sys.executable, "-m", "tests.contract.chassis_store.storm", database.url, *arguments]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")
