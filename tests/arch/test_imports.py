"""Who may import whom, as pyproject.toml says it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.arch.project import ROOT


def test_every_import_contract_is_kept() -> None:
    # when
    linter = Path(sys.executable).parent / "lint-imports"
    checked = subprocess.run(
        [str(linter), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    # then
    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout
