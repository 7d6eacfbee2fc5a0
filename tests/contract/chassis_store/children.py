"""Other processes that use the database of a test."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[3]


@contextmanager
def child(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs ``module`` of this folder; killed at the end whatever happened."""
    command = [sys.executable, "-m", f"tests.contract.chassis_store.{module}", *arguments]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def lines_until_killed(process: subprocess.Popen[str]) -> list[str]:
    """What it still said; each line is one write to the pipe, so only the last can be cut."""
    assert process.stdout is not None
    # Not ``communicate``: it passes over what ``line`` has read ahead.
    said = process.stdout.read()
    assert process.wait(timeout=60) == -signal.SIGKILL
    return said[: said.rfind("\n") + 1].splitlines()
