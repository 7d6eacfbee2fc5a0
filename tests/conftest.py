"""What every test gets: Hypothesis profiles, proof that no test leaves a task behind, and a list of
the tests that took long without saying so.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Generator, Mapping

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from services.chassis.config.settings import EventLoop
from services.chassis.server.loop import loop_factory
from tests.support.profiles import PROFILE
from tests.support.waiting import LIMIT_S

pytest_plugins = ("tests.support.postgres",)

# The same examples on every machine: a gate that fails by luck is ignored sooner or later.
settings.register_profile(
    "gate",
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("chaos", parent=settings.get_profile("gate"), max_examples=2000)
settings.load_profile(PROFILE)

# Longer than this is slow; how long a test takes never fails it.
SLOW_S = 5.0
_MARKS_OF_SLOW_TESTS = {"slow", "e2e", "chaos"}


# Of this process and of the servers that tests start: ``asyncio``, or what they choose themselves.
EVENT_LOOP = EventLoop(os.environ.get("TEST_EVENT_LOOP", "auto"))


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that servers run on."""
    return {"loop": loop_factory(EVENT_LOOP) or asyncio.new_event_loop}


def pytest_collection_finish() -> None:
    """Search what was loaded and collected for garbage never again, and new objects less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests log halves of characters on purpose, which a worker could not hand over."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that took longer than ``SLOW_S`` in the gate and are not marked ``slow``."""
    took_s: dict[str, float] = {}
    for report in (each for found in terminalreporter.stats.values() for each in found):
        if isinstance(report, pytest.TestReport) and not _MARKS_OF_SLOW_TESTS & {*report.keywords}:
            took_s[report.nodeid] = took_s.get(report.nodeid, 0.0) + report.duration
    long = {name: seconds for name, seconds in took_s.items() if seconds > SLOW_S}
    if long and PROFILE == "gate":
        terminalreporter.section(f"took more than {SLOW_S:.0f} s, not marked slow")
        for name in sorted(long, key=lambda each: -long[each]):
            terminalreporter.line(f"{long[name]:.1f} s {name}")


def running() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current and not task.done()}


@pytest_asyncio.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task running; session fixtures start theirs before it."""
    before = running()
    yield
    left = running() - before
    if left:  # what was cancelled needs a few turns of the loop, gRPC's own tasks a poll, to end
        await asyncio.wait(left, timeout=LIMIT_S)
    stuck = [task.get_coro() for task in running() - before]
    earlier = [task.get_coro() for task in before if not task.done()]
    assert not stuck, f"tasks left running: {stuck}; running since before the test: {earlier}"
