"""Make .venv with everything the project needs, from nothing but Python, pip and the lock files.

    python scripts/bootstrap.py        all of it
    python scripts/bootstrap.py run    what runs the servers and the command, a third of the time

Every wheel of requirements.lock is kept in build/wheelhouse and installed from there, so that
only the first run needs the network. Does nothing when nothing changed.

Runs on the machine's own Python, which may be too old: this file has to parse and import on
Python 3.6 to be able to say so.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WHEELHOUSE = ROOT / "build" / "wheelhouse"
# The second is a part of the first.
LOCKS = {"all": ROOT / "requirements.lock", "run": ROOT / "requirements-run.lock"}
STAMP = VENV / "runyard-setup"
OLDEST = (3, 11)
# How pip begins the line about a package: to be fetched, at hand, installed, not for this machine.
ONE_PACKAGE = ("Collecting ", "Processing ", "Requirement already satisfied: ", "Ignoring ")
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


def names_in(lock: Path) -> "list[str]":
    return [line.partition("==")[0] for line in lock.read_text().splitlines() if "==" in line]


class Progress:
    """Steps, and how far the one is that goes on: on a terminal in its line, else in a few."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.step = 0
        self.live = sys.stdout.isatty()

    def say(self, text: str) -> None:
        self.step += 1
        print(f"setup [{self.step}/{self.steps}] {text}", flush=True)

    def count(self, done: int, total: int, name: str) -> None:
        if self.live:
            line = f"            {done} of {total}  {name}"
            print(f"\r{line[:78]:<78}", end="\n" if done == total else "", flush=True)
        elif done % 20 == 0 or done == total:
            print(f"            {done} of {total}", flush=True)


def pip(*arguments: str, heard: "Callable[[str], None] | None" = None) -> None:
    """Run the environment's pip quietly; show all it said when it fails.

    Args:
        heard: Called with each line that it says.
    """
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    running = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=dict(os.environ, PIP_NO_INPUT="1", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in running.stdout or ():
        said.append(line)
        if heard:
            heard(line)
    if running.wait() != 0:
        sys.stderr.write("".join(said))
        refuse(f"pip {arguments[0]} failed; its output is above.")


def counting(progress: Progress, total: int) -> "Callable[[str], None]":
    """Hears pip and tells of each package."""
    seen: list[str] = []

    def heard(line: str) -> None:
        start = next((each for each in ONE_PACKAGE if line.startswith(each)), "")
        if start and len(seen) < total:
            seen.append(line)
            named = line[len(start) :].split(maxsplit=1)[0].split("/")
            name = re.split("==|-", named[-1])[0]
            progress.count(len(seen), total, name)

    return heard


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


def make_environment(progress: Progress) -> None:
    if made_by_this_python():
        progress.say(".venv is there")
        return
    progress.say(f"making .venv with Python {VERSION}")
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode != 0:
        refuse("python -m venv failed; its output is above.")


def fill_wheelhouse(wanted: str, progress: Progress) -> None:
    lock = LOCKS[wanted]
    complete = WHEELHOUSE / f".{wanted}"
    of = WHEELHOUSE / ".lock"
    whole = digest(LOCKS["all"].read_bytes(), VERSION.encode())
    if recorded(of) != whole:
        # A wheel of an earlier lock must not be found by an install that names no versions.
        shutil.rmtree(WHEELHOUSE, ignore_errors=True)
        WHEELHOUSE.mkdir(parents=True)
        of.write_text(whole)
    if recorded(complete) == digest(lock.read_bytes()):
        progress.say("build/wheelhouse has every package")
        return
    names = names_in(lock)
    progress.say(f"downloading {len(names)} packages into build/wheelhouse (once)")
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--find-links", str(WHEELHOUSE)]
    pip(
        *arguments,
        *("--requirement", str(lock), "--dest", str(WHEELHOUSE)),
        heard=counting(progress, len(names)),
    )
    complete.write_text(digest(lock.read_bytes()))


def install(wanted: str, progress: Progress) -> None:
    lock = LOCKS[wanted]
    local = ["install", "--no-deps", "--no-index", "--find-links", str(WHEELHOUSE)]
    progress.say("installing them into .venv")
    total = len(names_in(lock))
    pip(*local, "--requirement", str(lock), heard=counting(progress, total))
    progress.say("installing runyard-services itself, editable")
    pip(*local, "--no-build-isolation", "--editable", str(ROOT))


def wanted_stamp(kind: str) -> str:
    """Says what was installed from what; an environment knows its own path, too: a moved checkout
    needs a new one.
    """
    inputs = [path.read_bytes() for path in (LOCKS[kind], ROOT / "pyproject.toml", Path(__file__))]
    return kind + " " + digest(*inputs, str(ROOT).encode(), VERSION.encode())


def main() -> None:
    check_python()
    started = time.monotonic()
    wanted = "run" if sys.argv[1:] == ["run"] else "all"
    # All of it includes what runs.
    enough = {wanted_stamp(kind) for kind in {wanted, "all"}}
    if recorded(STAMP) in enough and (VENV / "bin" / "runyard").exists():
        return
    progress = Progress(4)
    make_environment(progress)
    if STAMP.exists():
        STAMP.unlink()
    fill_wheelhouse(wanted, progress)
    install(wanted, progress)
    STAMP.write_text(wanted_stamp(wanted))
    print(f"setup done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
