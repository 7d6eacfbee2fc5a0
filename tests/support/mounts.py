"""A small file system of a test's own, to fill and to make read-only; skips where nobody may."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *, size_kib: int) -> Iterator[Path]:
    """A file system in memory at ``folder``."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode != 0:
        pytest.skip("mounting a file system is for root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
