"""The source revision that this code is: of the checkout it runs from, else of its wheel.

Stands alone, since the build of a wheel loads it by its path. Git need not be installed.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "runyard-services"
# Of the dist-info folder of a wheel, where Hatchling puts what it was given.
RECORDED = "extra_metadata/COMMIT"

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def running_revision() -> str:
    """Empty when nobody knows. Changes that are not committed do not show in it."""
    return checkout_revision(Path(__file__).resolve().parents[2]) or _recorded()


def checkout_revision(root: Path) -> str:
    """What HEAD of the checkout at ``root`` is; empty where there is none."""
    try:
        folder = _git_folder(root / ".git")
        head = (folder / "HEAD").read_text().strip()
        found = _resolved(folder, head.removeprefix("ref: ")) if " " in head else head
    except (OSError, UnicodeDecodeError):
        return ""
    return found if _HASH.fullmatch(found) else ""


def _git_folder(git: Path) -> Path:
    """``git`` itself, or where it points to: in a linked working tree it is a file."""
    if git.is_dir():
        return git
    return git.parent / git.read_text().strip().removeprefix("gitdir: ")


def _resolved(folder: Path, ref: str) -> str:
    """The hash of a branch: in a file of its own, or packed with others."""
    shared = folder / "commondir"
    common = folder / shared.read_text().strip() if shared.exists() else folder
    loose = common / ref
    if loose.exists():
        return loose.read_text().strip()
    lines = (line.split(" ", 1) for line in (common / "packed-refs").read_text().splitlines())
    return next((line[0] for line in lines if line[1:] == [ref]), "")


def _recorded() -> str:
    try:
        said = metadata.distribution(DISTRIBUTION).read_text(RECORDED)
    except metadata.PackageNotFoundError:
        return ""
    return (said or "").strip()
