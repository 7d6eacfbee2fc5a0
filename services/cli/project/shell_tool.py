"""A tool that is a shell command: arguments on its input, its output is the result."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable

from runyard_worker import Context, ToolError

# Between the request to stop and the end of a command that does not.
GRACE_S = 5.0
# Of the output for errors, its end.
_TOLD_CHARS = 2_000


def shell_tool(command: str) -> Callable[[str, Context], Awaitable[str]]:
    """The function of a tool that runs ``command`` in a shell."""

    async def run(arguments_json: str, context: Context) -> str:
        # A file: a command may end without reading its input.
        with tempfile.TemporaryFile() as given:
            given.write(arguments_json.encode())
            given.seek(0)
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", command),
                stdin=given,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **_variables(context)},
                # Its children are stopped with it.
                start_new_session=True,
            )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            await _stop(process)
            raise
        if process.returncode:
            told = err.decode(errors="replace").strip()[-_TOLD_CHARS:]
            raise ToolError(told or f"exit code {process.returncode}", code="EXIT_CODE")
        return out.decode(errors="replace").rstrip("\n")

    return run


def _variables(context: Context) -> dict[str, str]:
    return {
        "RUNYARD_CALL_ID": context.call_id,
        "RUNYARD_IDEMPOTENCY_KEY": context.idempotency_key,
        "RUNYARD_RUN_ID": context.run_id,
        "RUNYARD_ATTEMPT": str(context.attempt),
    }


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
                return
