"""What every test gets: Hypothesis profiles, and proof that no test leaves a task behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

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
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests log halves of characters on purpose, which a worker could not hand over."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


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
        await asyncio.wait(left, timeout=2.0)
    stuck = [task.get_coro() for task in running() - before]
    assert not stuck, f"tasks left running: {stuck}"
