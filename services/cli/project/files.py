"""The folder of an agent with a tool: what is written into a new one, and what is read of one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.manifests.files import read_files
from services.cli.manifests.resources import Manifests, load

TEMPLATE = Path(__file__).parent / "template"
WORKER = "worker.py"
_LISTING_S = 30.0


def write_project(folder: Path) -> list[Path]:
    """Write the files of a new project.

    Raises:
        CliError: The folder has files, or cannot be written.
    """
    written = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CliError(
                f"{folder} is not empty",
                reason="NOT_EMPTY",
                hint="name a folder that does not exist yet",
                exit_code=EXIT_USAGE,
            )
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(TEMPLATE.iterdir()):
            if source.is_file():
                target = folder / source.name
                target.write_bytes(source.read_bytes())
                written.append(target)
    except OSError as error:
        raise CliError(
            f"cannot write to {folder}: {error.strerror}",
            reason="FOLDER",
            exit_code=EXIT_USAGE,
        ) from error
    return written


def worker_command(folder: Path) -> list[str]:
    return [sys.executable, str(folder.absolute() / WORKER)]


def read_project(folder: Path, environment: Mapping[str, str]) -> Manifests:
    """The manifests of a project, those of its tools included.

    Raises:
        CliError: They cannot be read, have problems, or the worker does not tell its tools.
    """
    manifests = load(read_files([str(folder)]) + _tools_of(folder, environment))
    if manifests.problems:
        raise CliError(
            f"{len(manifests.problems)} problem(s) in {folder}",
            reason="MANIFEST",
            details=tuple(map(str, manifests.problems)),
            exit_code=EXIT_USAGE,
        )
    return manifests


def _tools_of(folder: Path, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the worker says of its tools; nothing when there is no worker."""
    if not (folder / WORKER).is_file():
        return []
    listing = subprocess.run(  # noqa: S603  # the project's own worker
        [*worker_command(folder), "manifest"],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=_LISTING_S,
        check=False,
    )
    if listing.returncode:
        lines = listing.stderr.strip().splitlines() or ["it says nothing"]
        raise CliError(
            f"{folder / WORKER} does not list its tools: {lines[-1]}",
            reason="WORKER",
            hint=f"try: python {folder / WORKER} manifest",
            exit_code=EXIT_USAGE,
        )
    return [(f"{folder / WORKER} manifest", listing.stdout)]
