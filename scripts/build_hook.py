"""Records the source revision in what Hatchling builds; `GetServerInfo` reports it.

Taken from RUNYARD_COMMIT, as for a container that is built without the history, else from git in
the checkout, else from the source archive that the build starts from.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "RUNYARD_COMMIT"
FILE = "COMMIT"


def revision_of(root: Path) -> str:
    """Empty when neither the environment, git nor the source archive has one."""
    given = os.environ.get(VARIABLE, "").strip()
    archived = root / FILE
    return given or _head_of(root) or (archived.read_text().strip() if archived.exists() else "")


def _head_of(root: Path) -> str:
    """HEAD of the checkout at ``root``; empty without a checkout there, a commit or git."""
    if not (root / ".git").exists():  # git would take the repository of a folder above
        return ""
    try:
        git = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"],  # noqa: S607  # whichever the builder has
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return git.stdout.strip() if git.returncode == 0 else ""


class RevisionHook(BuildHookInterface[Any]):
    """An editable install records nothing: its checkout changes after the build."""

    PLUGIN_NAME = "custom"
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        revision = revision_of(Path(self.root))
        if version == "editable" or not revision:
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / FILE
        file.write_text(f"{revision}\n")
        included = "extra_metadata" if self.target_name == "wheel" else "force_include"
        build_data[included][str(file)] = FILE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            self._folder.cleanup()
