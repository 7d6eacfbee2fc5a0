"""One script's surroundings: a server, the worker as a process, and the files of its tool."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1.worker_service_pb2_grpc import add_ToolWorkerServiceServicer_to_server
from services.cli.conformance.conversation import (
    TOOL,
    Conversation,
    Deviation,
    ScriptedServer,
    in_time,
)
from services.cli.conformance.relay import Relay

# How often a file that the worker writes is read.
_LOOK_EVERY_S = 0.02
# A worker that hears nothing for that long may connect again.
LEASE_S = 6.0
_END_S = 5.0
# The start of a process is no step of the contract.
START_S = 60.0


class Stage:
    """What a script acts with.

    Args:
        folder: Empty; holds the files of the tool.
        limit_s: Seconds that the worker gets for each step.

    Attributes:
        relay: Between the worker and the server.
    """

    def __init__(self, server: ScriptedServer, relay: Relay, folder: Path, limit_s: float) -> None:
        self.relay = relay
        self.process: asyncio.subprocess.Process | None = None
        self._server = server
        self._folder = folder
        self._limit_s = limit_s
        self._instance = ""
        self._sessions = 0

    async def session(self) -> Conversation:
        """The first session, welcomed."""
        session = await self._server.next_session("a session after the start", START_S)
        self._instance = session.hello.instance_id
        self._welcome(session, [])
        return session

    async def session_again(
        self,
        inflight: Sequence[pb.CallRef] = (),
        verdict: pb.InflightVerdict.Action = pb.InflightVerdict.ACTION_UNSPECIFIED,
        undelivered: Sequence[pb.Result] = (),
    ) -> Conversation:
        """The next session, welcomed.

        Args:
            inflight: What Hello must bring along.
            verdict: Of all of these.
            undelivered: The results that Hello must bring along.

        Raises:
            Deviation: It does not begin like that.
        """
        session = await self._server.next_session("a session after the lost one")
        hello = session.hello
        if hello.instance_id != self._instance:
            raise Deviation("the same instance_id in every session of a process", "another one")
        if list(hello.inflight) != list(inflight):
            raise Deviation(f"Hello.inflight: {_names(inflight)}", _names(hello.inflight))
        if list(hello.undelivered_results) != list(undelivered):
            seen = _names(each.ref for each in hello.undelivered_results)
            expected = _names(each.ref for each in undelivered)
            raise Deviation(f"Hello.undelivered_results: {expected}", seen)
        self._welcome(session, [pb.InflightVerdict(call=ref, action=verdict) for ref in inflight])
        return session

    def call(self, name: str, effect: int, attempt: int = 1, ask: str = "") -> pb.Call:
        """A call of the tool that writes the line ``name-attempt``, and asks a question."""
        line = f"{name}-{attempt}"
        arguments = {
            "line": line,
            "ledger": str(self._ledger),
            "release": str(self._folder / line),
        }
        if ask:
            arguments["ask"] = ask
        return pb.Call(
            ref=pb.CallRef(tool_call_id=name, attempt=attempt, fence=1),
            run_id="run",
            thread_id="thread",
            tool_id=TOOL,
            arguments_json=json.dumps(arguments),
            idempotency_key=name,
            effect_class=effect,  # type: ignore[arg-type]  # a number of the enum
            agent_id="agent",
            principal="principal",
        )

    def release(self, call: pb.Call) -> None:
        """Let a call end."""
        (self._folder / f"{call.ref.tool_call_id}-{call.ref.attempt}").touch()

    def ledger_is(self, lines: Sequence[str], rule: str) -> None:
        """Compare what has been executed.

        Raises:
            Deviation: It is something else.
        """
        found = self._lines()
        if found != list(lines):
            raise Deviation(
                f"{rule}: {', '.join(lines) or 'nothing'}", ", ".join(found) or "nothing"
            )

    async def ledger_has(self, line: str, rule: str) -> None:
        """Wait until a line has been written."""

        async def written() -> None:
            while line not in self._lines():  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(_LOOK_EVERY_S)

        await in_time(written(), self._limit_s, rule, "no execution")

    def terminate(self) -> None:
        """Send SIGTERM to the worker."""
        if self.process is not None:
            self.process.terminate()

    async def exits(self) -> None:
        """Wait for the end of the worker, with exit code 0."""
        if self.process is None:
            return
        code = await in_time(
            self.process.wait(), self._limit_s, "an exit once all has ended", "no exit"
        )
        if code:
            raise Deviation("exit code 0", f"exit code {code}")

    @property
    def _ledger(self) -> Path:
        return self._folder / "ledger"

    def _lines(self) -> list[str]:
        return self._ledger.read_text().splitlines() if self._ledger.exists() else []

    def _welcome(self, session: Conversation, verdicts: list[pb.InflightVerdict]) -> None:
        self._sessions += 1
        session.welcome(self._sessions, LEASE_S, verdicts)


@asynccontextmanager
async def set_stage(command: Sequence[str], folder: Path, limit_s: float) -> AsyncIterator[Stage]:
    """A server, and the worker started against it; its output goes to the file ``output``.

    Raises:
        OSError: The command cannot be started.
    """
    scripted = ScriptedServer(limit_s)
    server = grpc.aio.server()
    add_ToolWorkerServiceServicer_to_server(scripted, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Relay(port).listening() as relay:
            stage = Stage(scripted, relay, folder, limit_s)
            with (folder / "output").open("wb") as output:
                stage.process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "RUNYARD_ENDPOINTS": f"runcontrol=127.0.0.1:{relay.port}"},
                    # Its children are stopped with it.
                    start_new_session=True,
                )
            try:
                yield stage
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(stage.process.pid, signal.SIGKILL)
                await stage.process.wait()
    finally:
        # gRPC writes a traceback about each handler that it has to cancel.
        scripted.cut()
        await server.stop(_END_S)


def _names(refs: Any) -> str:
    return ", ".join(f"{ref.tool_call_id}-{ref.attempt}" for ref in refs) or "nothing"
