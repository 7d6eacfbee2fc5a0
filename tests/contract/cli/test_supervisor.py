"""A parent and its real child processes: restarts, refusals, drains."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from services.cli.base.exits import CliError
from services.cli.local.child import LONGEST_LINE_BYTES, Child, describe_exit
from services.cli.local.supervisor import ChildEvent, Supervisor, supervised, unless_failed
from tests.support.clock import ManualClock
from tests.support.waiting import within_limit

# Says that it is ready, then waits to be told to stop, and stops with the given code.
STOPPING_WITH = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("draining"), sys.exit({code})))
print("ready", flush=True)
signal.pause()
"""
SERVER = STOPPING_WITH.format(code=0)
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Heard:
    """The events that the parent has reported, to wait for."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, event: ChildEvent, name: str, text: str) -> None:
        self.all.append((event.value, name, text))
        self._news.set()

    async def times(self, count: int, event: str, text: str) -> None:
        async with within_limit():
            while sum(e == event and text in t for e, _, t in self.all) < count:
                self._news.clear()
                await self._news.wait()


def make(tmp_path: Path, clock: ManualClock, **scripts: str) -> tuple[Supervisor, Heard]:
    heard = Heard()
    children = {
        name: Child(
            name,
            [sys.executable, "-c", script],
            {**os.environ, "PYTHONUNBUFFERED": "1"},
            tmp_path / "logs" / f"{name}.log",
            lambda line, name=name: heard(ChildEvent.LOG, name, line),  # type: ignore[misc]  # bound now
        )
        for name, script in scripts.items()
    }
    waves = [[name] for name in children]
    return Supervisor(children, waves, heard, clock=clock, stop_timeout_s=10.0), heard


async def test_children_drain_in_order_and_their_output_is_kept(tmp_path: Path) -> None:
    # given two servers
    supervisor, heard = make(tmp_path, ManualClock(), caller=SERVER, called=SERVER)

    # when they are stopped after both are ready
    async with supervised(supervisor):
        await unless_failed(supervisor, heard.times(2, "log", "ready"))

    # then the caller drained before what it calls, and the logs hold what was heard
    drains = [name for event, name, text in heard.all if text == "draining"]
    assert drains == ["caller", "called"]
    assert (tmp_path / "logs" / "called.log").read_text() == "ready\ndraining\n"


async def test_a_killed_child_is_started_at_once_and_then_after_pauses_that_grow(
    tmp_path: Path,
) -> None:
    # given a server
    clock = ManualClock()
    supervisor, heard = make(tmp_path, clock, server=SERVER)
    async with supervised(supervisor):
        pauses = (("at once", 0.0), ("in 0.5 s", 0.5), ("in 1 s", 1.0), ("in 2 s", 2.0))
        for kills, (when, pause_s) in enumerate(pauses, start=1):
            await heard.times(kills, "log", "ready")

            # when it is killed, again and again
            pid = supervisor.children["server"].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            told = f"was killed by SIGKILL, starting it again {when}"
            await heard.times(1, "restarting", told)
            clock.advance(pause_s)

            # then it comes back, and its parent says so
            await heard.times(kills, "restarted", "started again")
        await heard.times(5, "log", "ready")


async def test_a_child_that_was_well_for_long_comes_back_fast(tmp_path: Path) -> None:
    clock = ManualClock()
    supervisor, heard = make(tmp_path, clock, server=STOPPING_WITH.format(code=3))
    async with supervised(supervisor):
        for round_number in (1, 2):
            await heard.times(round_number, "log", "ready")
            clock.advance(31.0)
            supervisor.children["server"].send(signal.SIGKILL)
            await heard.times(round_number, "restarting", "at once")
        await heard.times(3, "log", "ready")
        supervisor.children["server"].send(signal.SIGKILL)
        await heard.times(1, "restarting", "in 0.5 s")


async def test_a_child_that_refuses_to_start_ends_it_all(tmp_path: Path) -> None:
    """With the words of the child."""
    # given a server that runs and one that refuses its settings
    refusal = 'print("noise\\nrunyard pool: no such folder"); raise SystemExit(2)'
    supervisor, heard = make(tmp_path, ManualClock(), server=SERVER, pool=refusal)

    # when they are started
    with pytest.raises(CliError) as refused:
        async with supervised(supervisor):
            await unless_failed(supervisor, heard.times(99, "log", "never"))

    # then the refusal is told once, nobody tries again, and the other one has stopped
    assert refused.value.message == "runyard pool: no such folder"
    assert refused.value.exit_code == 2
    assert "restarting" not in {event for event, _, _ in heard.all}
    assert not supervisor.children["server"].running


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    supervisor, heard = make(tmp_path, ManualClock(), stubborn=STUBBORN)
    supervisor.stop_timeout_s = 0.2
    with pytest.raises(CliError, match="stubborn was killed by SIGKILL"):
        async with supervised(supervisor):
            await heard.times(1, "log", "ready")
    assert heard.all[-1] == ("killed", "stubborn", "did not stop in time, killed")


async def test_a_stop_that_ends_badly_is_an_error(tmp_path: Path) -> None:
    supervisor, heard = make(tmp_path, ManualClock(), server=STOPPING_WITH.format(code=1))
    with pytest.raises(CliError, match="not drained: server exited with code 1"):
        async with supervised(supervisor):
            await heard.times(1, "log", "ready")


async def test_a_child_that_waits_for_its_restart_is_not_started_by_a_stop(tmp_path: Path) -> None:
    supervisor, heard = make(tmp_path, ManualClock(), server="raise SystemExit(1)")
    async with supervised(supervisor):
        await heard.times(1, "restarting", "exited with code 1, starting it again in 0.5 s")
    assert [event for event, _, _ in heard.all] == ["restarting", "restarted", "restarting"]


async def test_long_and_unfinished_lines_are_passed_on(tmp_path: Path) -> None:
    script = f"print('a' * {LONGEST_LINE_BYTES * 2}); print('last', end='')"
    supervisor, heard = make(tmp_path, ManualClock(), server=script)
    async with supervised(supervisor):
        await heard.times(1, "restarting", "exited with code 0, starting it again at once")
    lines = [text for event, _, text in heard.all if event == "log"]
    lines = lines[: lines.index("last") + 1]  # it may have begun again
    assert "".join(lines[:-1]) == "a" * LONGEST_LINE_BYTES * 2
    assert lines[-1] == "last"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exited with code 0"), (-9, "was killed by SIGKILL"), (-99, "was killed by signal 99")],
)
def test_exits_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
