"""Check everything that CI checks; go on after a failure, so that one run tells all.

python -m scripts.verify                 everything
python -m scripts.verify types imports   only these steps
python -m scripts.verify --list          their names
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from scripts import wheel_check

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FROZEN = ROOT / "protos" / "frozen"
COVERAGE = ROOT / "build" / "coverage"
CORE_FLOOR_PERCENT = 100
ALL_FLOOR_PERCENT = 90
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")


@dataclass(frozen=True)
class Outcome:
    step: str
    passed: bool
    elapsed_s: float


def run(*command: str) -> bool:
    """Run a tool of this environment; its output goes where ours goes."""
    program = BIN / command[0]
    return subprocess.run([str(program), *command[1:]], cwd=ROOT, check=False).returncode == 0


def lint() -> bool:
    return all([run("ruff", "check", "."), run("ruff", "format", "--check", ".")])


def types() -> bool:
    return run("mypy")


def imports() -> bool:
    return run("lint-imports", "--no-logo")


def contracts() -> bool:
    """Buf's rules; and no package that is frozen may break a client of its committed image."""
    checks = [run("buf", "lint"), run("buf", "format", "--diff", "--exit-code", "protos")]
    checks += [unbroken(image) for image in sorted(FROZEN.glob("*.binpb"))]
    return all(checks)


def unbroken(frozen: Path, root: Path = ROOT) -> bool:
    """Whether clients of the package in the image ``frozen`` can go on with the protos of ``root``.

    Image against image: limited by ``--path``, buf looks for the folder inside the image as well.
    """
    package = root / "protos" / "runyard" / frozen.stem
    with tempfile.TemporaryDirectory() as folder:
        today = str(Path(folder) / frozen.name)
        if not run("buf", "build", str(root), "--path", str(package), "-o", today):
            return False
        return run("buf", "breaking", today, "--against", str(frozen), "--exclude-imports")


def generated() -> bool:
    stubs = run("python", "-m", "scripts.generate", "--check")
    schema = run("python", "-m", "scripts.manifest_schema", "--check")
    traced = run("python", "-m", "scripts.trace_calls", "--check")
    settings = run("python", "-m", "scripts.settings_docs", "--check")
    limits = run("python", "-m", "scripts.limits_docs", "--check")
    return all((stubs, schema, traced, settings, limits))


def tests() -> bool:
    """What `make test` runs, with branch coverage of this process and of the servers it starts."""
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir(parents=True)
    pytest = ("coverage", "run", "-m", "pytest")
    # The four processes of the end-to-end tests have the machine to themselves.
    rest = run(*pytest, *PARALLEL, "-m", "not e2e and not chaos")
    return run(*pytest, "-m", "e2e") and rest


def loops() -> bool:
    """The calls of the chassis on the event loop of asyncio; all other tests run on uvloop."""
    with mock.patch.dict(os.environ, TEST_EVENT_LOOP="asyncio"):
        return run("pytest", "-q", *PARALLEL, "tests/contract/chassis_grpc")


def coverage() -> bool:
    report = ("coverage", "report", "--skip-covered", "--skip-empty", "--show-missing")
    core = "services/*/core/*"
    return all(
        [
            run("coverage", "combine", "--quiet"),
            run(*report, f"--include={core}", f"--fail-under={CORE_FLOOR_PERCENT}"),
            run(*report, f"--fail-under={ALL_FLOOR_PERCENT}"),
        ]
    )


def wheel() -> bool:
    return wheel_check.main() == 0


STEPS: Mapping[str, Callable[[], bool]] = {
    "lint": lint,
    "types": types,
    "imports": imports,
    "contracts": contracts,
    "generated": generated,
    "wheel": wheel,
    "tests": tests,
    "loops": loops,
    "coverage": coverage,
}


def timed(step: str) -> Outcome:
    print(f"\n── verify: {step}", flush=True)
    started = time.monotonic()
    passed = STEPS[step]()
    return Outcome(step, passed, time.monotonic() - started)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[[], *STEPS], help="all when none is named")
    parser.add_argument("--list", action="store_true", help="print the names of the steps")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(STEPS))
        return 0
    outcomes = [timed(step) for step in options.steps or STEPS]
    print("\n── verify: summary")
    for outcome in outcomes:
        verdict = "ok" if outcome.passed else "FAILED"
        print(f"{outcome.step:10} {outcome.elapsed_s:7.1f} s  {verdict}")
    failed = [outcome.step for outcome in outcomes if not outcome.passed]
    print(f"verify: {'failed: ' + ', '.join(failed) if failed else 'everything passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
