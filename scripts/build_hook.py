"""Records the source revision in what Hatchling builds; `GetServerInfo` tells it.

Taken from RUNYARD_COMMIT, as for a container that is built without the history, else from the
checkout, else from the source archive that the build starts from.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "RUNYARD_COMMIT"
FILE = "COMMIT"


def revision_of(root: Path) -> str:
    """Empty when nobody knows."""
    said = os.environ.get(VARIABLE, "").strip()
    kept = root / FILE
    return said or _checkout_revision(root) or (kept.read_text().strip() if kept.exists() else "")


def _checkout_revision(root: Path) -> str:
    # By its path: a build has its own environment, without our dependencies.
    spec = importlib.util.spec_from_file_location(
        "revision", root / "services" / "chassis" / "revision.py"
    )
    if spec is None or spec.loader is None:
        return ""
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.checkout_revision(root))


class RevisionHook(BuildHookInterface[Any]):
    """An editable install has none: it runs from its checkout."""

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
