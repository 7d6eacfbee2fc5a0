"""Make .venv with everything the project needs, from nothing but Python, pip and the lock file.

Every wheel of requirements.lock is kept in build/wheelhouse and installed from there, so that
only the first run needs the network. Does nothing when nothing changed.

Runs on the machine's own Python, which may be too old: this file has to parse and import on
Python 3.6 to be able to say so.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WHEELHOUSE = ROOT / "build" / "wheelhouse"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "runyard-setup"
OLDEST = (3, 11)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def refuse(*lines: str) -> None:
    sys.exit("setup: " + "\n       ".join(lines))


def check_python() -> None:
    if sys.version_info < OLDEST:
        refuse(
            f"Python 3.11 or newer is needed; {sys.executable} is {VERSION}.",
            "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv),",
            "then name it: make PYTHON=python3.11 setup",
        )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        refuse(
            f"{sys.executable} cannot make virtual environments: its venv module is incomplete.",
            f"Install it (Debian, Ubuntu: apt-get install python{VERSION}-venv), run this again.",
        )


def digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def recorded(stamp: Path) -> str:
    return stamp.read_text().strip() if stamp.is_file() else ""


def say(step: int, text: str) -> None:
    print(f"setup [{step}/4] {text}", flush=True)


def pip(*arguments: str) -> None:
    """Run the environment's pip quietly; show all it said when it fails."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=dict(os.environ, PIP_NO_INPUT="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        refuse(f"pip {arguments[0]} failed; its output is above.")


def made_by_this_python() -> bool:
    """Whether .venv works, has pip and is of this Python's version."""
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    answer = subprocess.run(
        [str(python), "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return answer.returncode == 0 and answer.stdout.strip() == VERSION


def make_environment() -> None:
    if made_by_this_python():
        return
    say(1, f"making .venv with Python {VERSION}")
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode != 0:
        refuse("python -m venv failed; its output is above.")


def fill_wheelhouse() -> None:
    stamp = WHEELHOUSE / ".lock"
    wanted = digest(LOCK.read_bytes(), VERSION.encode())
    if recorded(stamp) == wanted:
        return
    names = [line for line in LOCK.read_text().splitlines() if "==" in line]
    say(2, f"downloading {len(names)} packages into build/wheelhouse (once)")
    # A wheel of an earlier lock must not be found by an install that names no versions.
    shutil.rmtree(WHEELHOUSE, ignore_errors=True)
    WHEELHOUSE.mkdir(parents=True)
    binary = "--only-binary=:all:"
    pip("download", "--no-deps", binary, "--requirement", str(LOCK), "--dest", str(WHEELHOUSE))
    stamp.write_text(wanted)


def install() -> None:
    local = ["install", "--no-deps", "--no-index", "--find-links", str(WHEELHOUSE)]
    say(3, "installing them into .venv")
    pip(*local, "--requirement", str(LOCK))
    say(4, "installing runyard-services itself, editable")
    pip(*local, "--no-build-isolation", "--editable", str(ROOT))


def main() -> None:
    check_python()
    started = time.monotonic()
    inputs = [path.read_bytes() for path in (LOCK, ROOT / "pyproject.toml", Path(__file__))]
    # An environment knows its own path: a moved checkout needs a new one.
    wanted = digest(*inputs, str(ROOT).encode(), VERSION.encode())
    if recorded(STAMP) == wanted and (VENV / "bin" / "runyard").exists():
        return
    make_environment()
    fill_wheelhouse()
    install()
    STAMP.write_text(wanted)
    print(f"setup done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
