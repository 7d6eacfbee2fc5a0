"""The parent of the four servers: starts, watches, restarts, drains."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from services.chassis.clock import Clock, SystemClock
from services.cli.base.exits import EXIT_FAILED, EXIT_USAGE, CliError
from services.cli.local.child import Child, describe_exit

# Before the second restart; the first is at once.
SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
# A child that ran this long was healthy: its next restart is at once again.
HEALTHY_AFTER_S = 30.0
# The drain grace of a server and what it needs around it.
STOP_TIMEOUT_S = 15.0
_REFUSED = 2


class ChildEvent(StrEnum):
    """What is reported about a child process."""

    LOG = "log"
    RESTARTING = "restarting"
    RESTARTED = "restarted"
    KILLED = "killed"


# Called with (event, service, text).
Listener = Callable[[ChildEvent, str, str], None]


@dataclass
class Supervisor:
    """Keeps children alive until `stop` is called.

    Attributes:
        waves: Names in the order of stopping; those of one wave stop together, a wave waits for
            the one before it, so that no server drains after a server that it calls.
    """

    children: Mapping[str, Child]
    waves: Sequence[Sequence[str]]
    listener: Listener
    clock: Clock = field(default_factory=SystemClock)
    stop_timeout_s: float = STOP_TIMEOUT_S
    _tasks: dict[str, asyncio.Task[int]] = field(default_factory=dict)
    _stopping: bool = False

    def start(self) -> None:
        for name, child in self.children.items():
            self._tasks[name] = asyncio.create_task(self._keep_running(child), name=f"child {name}")

    async def first_failure(self) -> None:
        """Wait until a child cannot be kept alive.

        Raises:
            CliError: It refused to start; the message is its own.
        """
        done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _keep_running(self, child: Child) -> int:
        pause_s = 0.0
        while True:
            started_s = self.clock.monotonic_s()
            code = await child.run()
            if self._stopping:
                return code
            if code == _REFUSED:
                raise _refusal(child)
            if self.clock.monotonic_s() - started_s >= HEALTHY_AFTER_S:
                pause_s = 0.0
            when = f"in {pause_s:g} s" if pause_s else "at once"
            text = f"{describe_exit(code)}, starting it again {when}"
            self.listener(ChildEvent.RESTARTING, child.name, text)
            if pause_s:
                await self.clock.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, pause_s * 2))
            self.listener(ChildEvent.RESTARTED, child.name, "started again")

    async def stop(self) -> dict[str, int]:
        """Drain every child, wave by wave; answer their exit codes."""
        self._stopping = True
        codes: dict[str, int] = {}
        for wave in self.waves:
            ended = await asyncio.gather(*(self._stop(self.children[name]) for name in wave))
            codes.update(zip(wave, ended, strict=True))
        return codes

    async def _stop(self, child: Child) -> int:
        task = self._tasks.get(child.name)
        if task is None:
            return 0
        if child.running:
            child.send(signal.SIGTERM)
        else:
            task.cancel()  # it pauses before its next start
        done, _ = await asyncio.wait({task}, timeout=self.stop_timeout_s)
        if not done:
            self.listener(ChildEvent.KILLED, child.name, "did not stop in time, killed")
            child.send(signal.SIGKILL)
            await asyncio.wait({task})
        return _code_of(task)

    def skip_grace(self) -> None:
        """Tell children that drain to stop at once."""
        for child in self.children.values():
            child.send(signal.SIGTERM)


def _code_of(task: asyncio.Task[int]) -> int:
    if task.cancelled():
        return 0
    error = task.exception()
    if isinstance(error, CliError):
        return _REFUSED
    if error is not None:
        raise error
    return task.result()


def _refusal(child: Child) -> CliError:
    lines = [line for line in child.last_lines if line.strip()]
    message = lines[-1] if lines else f"{child.name} refused to start"
    return CliError(message, reason="REFUSED_TO_START", exit_code=EXIT_USAGE)


@contextlib.asynccontextmanager
async def supervised(supervisor: Supervisor) -> AsyncIterator[Supervisor]:
    """Run the children for the length of the block; drains them on the way out.

    Raises:
        CliError: After a block that ended well, a child did not exit with 0.
    """
    supervisor.start()
    try:
        yield supervisor
    except BaseException:
        await supervisor.stop()
        raise
    codes = await supervisor.stop()
    bad = [f"{name} {describe_exit(code)}" for name, code in codes.items() if code != 0]
    if bad:
        raise CliError(
            f"not drained: {', '.join(bad)}", reason="NOT_DRAINED", exit_code=EXIT_FAILED
        )


T = TypeVar("T")


async def unless_failed(supervisor: Supervisor, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is given up when a child cannot be kept alive.

    Raises:
        CliError: The child's refusal.
    """
    task = asyncio.ensure_future(work)
    failure = asyncio.ensure_future(supervisor.first_failure())
    try:
        await asyncio.wait({task, failure}, return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            failure.result()
        return await task
    finally:
        for pending in (task, failure):
            pending.cancel()
        await asyncio.gather(task, failure, return_exceptions=True)
