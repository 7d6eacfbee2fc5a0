"""Build the wheel, install it alone into a clean environment and use it there.

Everything comes from the wheelhouse that `make setup` filled: what this proves, it proves without
the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELHOUSE = ROOT / "build" / "wheelhouse"
HOME = ROOT / "build" / "wheel-check"
IMPORT_ALL = """
import importlib, pkgutil, services
for module in pkgutil.walk_packages(services.__path__, "services."):
    # Alembic loads migrations, with its context; __main__ would start a server.
    if ".migrations." not in module.name and not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
print(services.__file__)
"""


def build() -> Path:
    """The wheel, built by the installed hatchling."""
    shutil.rmtree(HOME, ignore_errors=True)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(HOME)]
    python_pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*python_pip, "wheel", *options, str(ROOT)], check=True)
    (wheel,) = HOME.glob("runyard_services-*.whl")
    return wheel


def shipped(folder: Path, top: str) -> set[str]:
    """Paths, as they must stand in the wheel, of what ``folder`` holds under ``top``."""
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def problems_of(wheel: Path) -> Iterable[str]:
    wanted = shipped(ROOT, "services") | shipped(ROOT, "runyard_worker")
    wanted |= shipped(ROOT / "gen" / "python", "runyard")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    for name in sorted(wanted - inside):
        yield f"not in the wheel: {name}"
    for name in sorted(inside - wanted):
        yield f"should not be in the wheel: {name}"


def run_installed(wheel: Path) -> None:
    """Install into an empty environment, import every module and run the console script there.

    Raises:
        subprocess.CalledProcessError: One of them failed; its output has been shown.
    """
    environment = HOME / "venv"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    local = ["--no-index", "--find-links", str(WHEELHOUSE)]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", *local, str(wheel)], check=True)
    outside = HOME / "empty"
    outside.mkdir()
    clean = {"PATH": os.defpath, "HOME": str(outside)}
    strict = [python, "-I", "-W", "error"]
    found = subprocess.run(
        [*strict, "-c", IMPORT_ALL],
        check=True,
        cwd=outside,
        env=clean,
        stdout=subprocess.PIPE,
        text=True,
    )
    if not found.stdout.startswith(str(environment)):
        raise SystemExit(f"wheel: imported {found.stdout.strip()} instead of the installed one")
    command = str(environment / "bin" / "runyard")
    for arguments in (["--version"], ["--help"], ["check-config"], ["schema"]):
        subprocess.run(
            [command, *arguments], check=True, cwd=outside, env=clean, stdout=subprocess.DEVNULL
        )


def main() -> int:
    wheel = build()
    problems = list(problems_of(wheel))
    for problem in problems:
        print(f"wheel: {problem}", file=sys.stderr)
    try:
        run_installed(wheel)
    except subprocess.CalledProcessError as error:
        problems.append(str(error))
        print(f"wheel: {error}", file=sys.stderr)
    if not problems:
        print(f"wheel: {wheel.name} installs and runs")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
