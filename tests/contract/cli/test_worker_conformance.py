"""The conformance kit for workers: the Python library passes it, and each fault is found."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.contract.cli.process import runyard
from tests.support.note_worker import FAULTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SCRIPTS = [
    "heartbeat-with-progress",
    "credit-not-exceeded",
    "accept-time-out",
    "lost-go",
    "fence",
    "cancel",
    "reconnect-with-inflight",
    "reconnect-and-abandon",
    "duplicate-result",
    "probe",
    "drain-with-handback",
    "drain-of-the-server",
    "half-open-connection",
    "question",
]

Found = tuple[str, str, int, str]

# Fault, the script that finds it, seconds for each step, and what the script expected.
FOUND: list[Found] = [
    (
        "says-nothing-of-calls",
        "heartbeat-with-progress",
        5,
        "a heartbeat with progress_seq from 1 and the note of the call",
    ),
    ("grants-too-much", "credit-not-exceeded", 5, "credit for 1 call after one has ended"),
    (
        "takes-any-go",
        "accept-time-out",
        5,
        "Go of the first attempt does not start the second: nothing",
    ),
    (
        "starts-without-go",
        "lost-go",
        5,
        "an at-most-once call does not run before Go: nothing",
    ),
    ("keeps-fenced-calls", "fence", 5, "no heartbeat for a fenced attempt"),
    ("hears-no-cancel", "cancel", 5, "a result of the cancelled call"),
    ("forgets-calls", "reconnect-with-inflight", 5, "Hello.inflight: a-1"),
    ("keeps-fenced-calls", "reconnect-and-abandon", 5, "no heartbeat for an abandoned call"),
    ("forgets-results", "duplicate-result", 5, "Hello.undelivered_results: a-1"),
    (
        "hears-no-acknowledgement",
        "duplicate-result",
        5,
        "Hello.undelivered_results: nothing",
    ),
    ("finds-nothing", "probe", 5, "EFFECT_DONE, with the result"),
    (
        "gives-nothing-back",
        "drain-with-handback",
        5,
        "Handback of the call that waits for Go",
    ),
    ("ends-with-the-server", "drain-of-the-server", 5, "a session after the lost one"),
    ("asks-once", "question", 5, "Hello.inflight: a-1"),
    ("trusts-the-connection", "half-open-connection", 12, "a session after the lost one"),
]


async def examine(
    *faults: str, only: str = "", limit_s: int = 45
) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of the kit and its verdicts on a worker with faults."""
    chosen = ["--only", only] if only else []
    worker = [sys.executable, "-m", "tests.support.note_worker", *faults]
    options = [*chosen, "--limit", str(limit_s), "-o", "json"]
    answer = await runyard("worker-conformance", *options, "--", *worker)
    return answer.code, [json.loads(line) for line in answer.out.splitlines()]


async def test_the_python_library_passes_every_script() -> None:
    code, verdicts = await examine()
    assert [(line["script"], line["passed"]) for line in verdicts] == [
        (script, True) for script in SCRIPTS
    ]
    assert code == 0


async def test_every_fault_is_found() -> None:
    # given workers with a fault each, a few at a time
    few = asyncio.Semaphore(4)

    async def found(fault: str, script: str, limit_s: int) -> Found:
        async with few:
            code, verdicts = await examine(fault, only=script, limit_s=limit_s)
        assert code == 1
        assert [verdict["passed"] for verdict in verdicts] == [False]
        return fault, script, limit_s, verdicts[0]["expected"]

    # when they are examined
    seen = await asyncio.gather(*(found(*each[:3]) for each in FOUND))

    # then each fails for what it does not do
    assert list(seen) == FOUND
    assert {each[0] for each in FOUND} == set(FAULTS)
    assert {each[1] for each in FOUND} == set(SCRIPTS)


async def test_a_command_that_cannot_be_started_is_wrong_use() -> None:
    answer = await runyard("worker-conformance", "--", "/nowhere/worker")
    assert answer.code == 2
    assert "/nowhere/worker cannot be started: No such file or directory" in answer.err


async def test_an_unknown_script_is_answered_with_those_there_are() -> None:
    answer = await runyard("worker-conformance", "--only", "wave", "--", "true")
    assert answer.code == 2
    assert "there is no script wave" in answer.err
    for script in SCRIPTS:
        assert script in answer.err
