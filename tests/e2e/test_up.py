"""`runyard up` and `runyard demo` as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.cli.base.services import SERVICES
from tests.support.waiting import within_limit

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


COMMAND = (sys.executable, "-P", "-m", "services.cli.main")


def clean_environment(**environment: str) -> dict[str, str]:
    """No variable of ours but those of ``environment``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RUNYARD_")}
    return {**inherited, **environment}


async def started(
    *arguments: str, wrapper: str = 'exec "$@"', **environment: str
) -> asyncio.subprocess.Process:
    """The command; ``wrapper`` is the script of the shell that starts it."""
    return await asyncio.create_subprocess_exec(
        *("sh", "-c", wrapper, "sh", *COMMAND, *arguments),
        env=clean_environment(**environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )


@dataclass
class Up:
    """A running `runyard up`, heard through its JSON."""

    process: asyncio.subprocess.Process
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        """Read on until the next such event."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            async for line in self.process.stdout:
                said = json.loads(line)
                self.heard.append(said)
                if said["event"] == event:
                    return said
        raise AssertionError(f"ended without {event}: {self.heard[-20:]}")

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        await self.until("stopped")
        return await self.process.wait()


@asynccontextmanager
async def running_up(
    data: Path, *project: str, wrapper: str = 'exec "$@"', **environment: str
) -> AsyncIterator[Up]:
    """One on free ports; ``wrapper`` is the script of the shell that starts it."""
    arguments = ("up", *project, "--data", str(data), "--port-base", "0", "--output", "json")
    process = await started(*arguments, wrapper=wrapper, **environment)
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.communicate()


@dataclass
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def runyard(*arguments: str, **environment: str) -> Answer:
    process = await started(*arguments, **environment)
    out, err = await process.communicate()
    return Answer(process.returncode or 0, out.decode(), err.decode())


def endpoints(ready: dict[str, Any]) -> str:
    return ",".join(f"{name}={target}" for name, target in ready["endpoints"].items())


async def test_a_killed_server_comes_back_and_a_watcher_misses_nothing(tmp_path: Path) -> None:
    async with running_up(tmp_path) as up:
        # given a stack with the quickstart, and a run that streams for two seconds
        ready = await up.until("ready")
        where = {"RUNYARD_ENDPOINTS": endpoints(ready)}
        applied = await runyard("apply", "-f", str(QUICKSTART), "-o", "json", **where)
        version = applied.lines[0]["version"]
        run = ("run", "narrator", "Tell me.", "--no-follow", "--min-version", version, "-o", "json")
        run_id = (await runyard(*run, **where)).lines[0]["run_id"]

        # when run control is killed in the middle of it, while a command follows the run
        watching = asyncio.create_task(runyard("watch", "run", run_id, "-o", "json", **where))
        os.kill(ready["pids"]["runcontrol"], signal.SIGKILL)
        restarting = await up.until("restarting")
        await up.until("restarted")
        watched = await watching

        # then its parent says so, and the watcher has every event of the run once and in order
        assert restarting["service"] == "runcontrol"
        assert restarting["text"] == "was killed by SIGKILL, starting it again at once"
        assert watched.code == 0, watched.err
        numbers = [int(event["run_seq"]) for event in watched.lines]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "run_finished" in watched.lines[-1]

        # and the stack drains
        assert await up.stop() == 0
    assert up.process.returncode == 0


async def test_a_server_that_refuses_its_settings_ends_up_with_its_own_message(
    tmp_path: Path,
) -> None:
    async with running_up(tmp_path, RUNYARD_ROUTER_LISTN="127.0.0.1:1") as up:
        _, err = await up.process.communicate()
    error = json.loads(err)["error"]
    assert up.process.returncode == 2
    assert error["reason"] == "REFUSED_TO_START"
    assert "RUNYARD_ROUTER_LISTN" in error["message"]
    assert "RUNYARD_ROUTER_LISTEN" in error["message"]


async def test_servers_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    async with running_up(tmp_path) as up:
        # given a stack, and a connection to each of its servers
        ready = await up.until("ready")
        connections = [
            await asyncio.open_connection(*target.split(":"))
            for target in ready["endpoints"].values()
        ]

        # when the parent has no chance to stop them
        up.process.kill()
        await up.process.wait()

        # then they stop by themselves, which ends the connections
        async with within_limit():
            for reader, writer in connections:
                with suppress(ConnectionResetError):  # as an end may look that came before a reply
                    await reader.read()
                writer.close()
    assert [writer.is_closing() for _, writer in connections] == [True] * 4


IN_A_TERMINAL = (
    "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
)


async def test_a_closed_terminal_drains_the_stack(tmp_path: Path) -> None:
    # given a stack in a terminal, whose reader sees when it is ready
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IN_A_TERMINAL, str(theirs), *COMMAND),
        *("up", "--data", str(tmp_path), "--port-base", "0"),
        env=clean_environment(),
        pass_fds=[theirs],
    )
    os.close(theirs)
    shown = b""
    while b"is ready after" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 65_536)

    # when the terminal is closed
    os.close(ours)
    code = await process.wait()

    # then every server has drained, although nobody can read any more what they say
    logs = [(tmp_path / "logs" / f"{service}.log").read_text() for service in SERVICES]
    assert code == 0
    assert ["signal=SIGTERM" in log and " stopped" in log for log in logs] == [True] * 4


async def test_under_nohup_a_closed_terminal_stops_nothing(tmp_path: Path) -> None:
    # given a stack that was started to outlive its terminal
    async with running_up(tmp_path, wrapper="trap '' HUP; exec \"$@\"") as up:
        await up.until("ready")

        # when the terminal is closed, and somebody asks it to stop after all
        up.process.send_signal(signal.SIGHUP)
        code = await up.stop()

    # then the stop came by the second alone
    assert code == 0
    assert [said["event"] for said in up.heard if said["event"] == "draining"] == ["draining"]


async def test_the_demo_shows_each_part_of_the_main_job(tmp_path: Path) -> None:
    # when
    data = tmp_path / "demo"
    demo = await runyard("demo", "--data", str(data))

    # then each part of it is on the screen
    assert demo.code == 0, demo.out + demo.err
    for shown in (
        "routed narration: north-large → south-small because of rate limit",
        "asks for a decision: may it call pool_send",
        "decision: approve",
        "analyst  · woken by a wake from the pool (triggered)",
        "The analyst says: seven ships are in the harbour",
        "↖ failover_from: [1]",
        "↖ wake_cause: [",
        "↖ suspended_by: [",
        f"runyard up --data {data}",
    ):
        assert shown in demo.out, shown
    assert re.search(r"everything worked after [\d.]+ s", demo.out)

    # and its traces can be looked at after it has stopped
    run_id = demo.out.partition("runyard trace ")[2].partition(" ")[0]
    traced = await runyard("trace", run_id, "--data", str(data), "-o", "json")
    assert traced.code == 0
    assert len(traced.lines[0]["traces"]) >= 2


async def test_the_demo_wants_a_fresh_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    demo = await runyard("demo", "--data", str(tmp_path))
    assert demo.code == 2
    assert "is not an empty folder" in demo.err
    assert os.listdir(tmp_path) == ["mine.txt"]
