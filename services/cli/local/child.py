"""One child process: start, output line by line, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# A line longer than this is passed on in pieces.
LONGEST_LINE_BYTES = 64 * 1024
_KEPT_LINES = 20


class Child:
    """A process that may be started again after it ended.

    Attributes:
        last_lines: The end of its output, to explain an exit.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        heard: Callable[[str], None],
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._command = command
        self._environment = environment
        self._log = log
        self._on_line = heard
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def run(self) -> int:
        """Start, pass its output on until it ends, and answer its exit code."""
        self.last_lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            # Ends when this process does, however that happens; the child stops then.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C on a terminal is for the parent, which then drains in order.
            start_new_session=True,
        )
        try:
            await self._pass_on(self._process)
            return await self._process.wait()
        finally:
            if self.running:  # cancelled before it ended
                self._process.kill()
                await self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101  # asked for above
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            rest = b""
            while chunk := await process.stdout.read(LONGEST_LINE_BYTES):
                log.write(chunk)
                log.flush()
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._report(line)
            if rest:
                self._report(rest)

    def _report(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.last_lines.append(text)
        self._on_line(text)

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it runs."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
