"""The worker: its connection to run control, and the calls that it executes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.duration_pb2 import Duration

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from runyard_worker.asking import Asking, QuestionAsked
from runyard_worker.channel import metadata, open_channel, target_of
from runyard_worker.errors import RetryableError, ToolError
from runyard_worker.probes import found_out
from runyard_worker.session import Action, Find, Send, Session, Start, Stop
from runyard_worker.tools import (
    Context,
    EffectClass,
    Tool,
    result_text,
    tool_of,
)

F = TypeVar("F", bound=Callable[..., Any])

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
# Of a lease, in which run control answers three heartbeats. Waiting for its end would be too late
# to bring calls along.
_SILENT_SHARE = 2 / 3
# What running calls get to end once the worker is asked to stop.
STOP_S = 30.0

log = logging.getLogger("runyard_worker")


class Worker:
    """Serves functions as tools.

    Args:
        worker_id: A stable name, for people and policies.
        target: gRPC target of run control; by default what ``RUNYARD_ENDPOINTS`` says, as for the
            command ``runyard``, else 127.0.0.1:7403.
        room: Calls that are executed at a time.
        labels: What it can do beyond its tools; a tool may require one.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        target: str = "",
        room: int = 16,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.worker_id = worker_id
        self.target = target or target_of(os.environ)
        self.room = room
        self.labels = labels
        self.tools: dict[str, Tool] = {}

    def tool(
        self,
        *,
        name: str = "",
        effect: EffectClass = "at_most_once",
        label: str = "",
        timeout_s: float = 60.0,
        max_parallel: int = 0,
        probe: Callable[..., Any] | None = None,
    ) -> Callable[[F], F]:
        """Serve a function: its parameters are the arguments, its docstring is the description.

        Args:
            name: The tool's id in the registry; the function's name when empty.
            effect: What running it twice means. A call that is lost runs again when it is ``pure``
                or ``idempotent``; of a ``reconcilable`` one ``probe`` is asked what has become of
                it, else a person is.
            label: What a worker must have announced to get its calls.
            timeout_s: Seconds that an attempt may take.
            max_parallel: Calls of it at a time; 0 = as many as the worker takes.
            probe: Of a reconcilable tool: a function of the same parameters, or of some of them,
                that returns ``Happened(result)``, ``DidNotHappen()`` or ``NotKnown()``.
        """

        def serve(function: F) -> F:
            self.add(
                tool_of(
                    function,
                    tool_id=name,
                    effect=effect,
                    label=label,
                    timeout_s=timeout_s,
                    max_parallel=max_parallel,
                    probe=probe,
                )
            )
            return function

        return serve

    def add(self, tool: Tool) -> None:
        """Serve a tool.

        Raises:
            ValueError: There is one of this name.
        """
        if tool.tool_id in self.tools:
            raise ValueError(f"there are two tools {tool.tool_id}")
        self.tools[tool.tool_id] = tool

    def manifests(self) -> str:
        """The tools for ``runyard apply -f -``."""
        return "\n---\n".join(json.dumps(tool.manifest(), indent=2) for tool in self.tools.values())

    def main(self, arguments: list[str] | None = None) -> None:
        """The command line: without arguments serve, with ``manifest`` print the tools."""
        given = sys.argv[1:] if arguments is None else arguments
        if given == ["manifest"]:
            sys.stdout.write(self.manifests() + "\n")
        elif given:
            sys.exit(f"usage: {Path(sys.argv[0]).name} [manifest]")
        else:
            logging.basicConfig(level=logging.INFO, format="%(message)s")
            if os.environ.get("RUNYARD_WITH_PARENT"):
                threading.Thread(target=_end_with_parent, daemon=True).start()
            self.run()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; running calls get 30 s to end then."""
        asyncio.run(self.serve())

    async def serve(self, stop: asyncio.Event | None = None) -> None:
        """Serve until ``stop`` is set, or by default until SIGTERM or SIGINT."""
        if stop is None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _Serving(self).run(stop)


class _Running:
    """A call that is executed; implements ``tools.Reporter``."""

    def __init__(self, serving: _Serving, call: pb.Call) -> None:
        self.call = call
        self.task: asyncio.Task[None] | None = None
        self._serving = serving
        self._loop = asyncio.get_running_loop()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def progress(self, note: str) -> None:
        call_id = self.call.ref.tool_call_id
        # From whatever thread the function runs on.
        self._loop.call_soon_threadsafe(self._serving.session.noted, call_id, note)


class _Serving:
    """One life of a worker, over as many connections as it takes."""

    def __init__(self, worker: Worker) -> None:
        self.session = Session(
            worker_id=worker.worker_id,
            instance_id=str(uuid4()),
            tools=[
                pb.ServedTool(
                    tool_id=tool.tool_id,
                    schema_digest=tool.schema_digest,
                    max_parallel=tool.max_parallel,
                )
                for tool in worker.tools.values()
            ],
            labels=worker.labels,
            room=worker.room,
        )
        self._worker = worker
        self._running: dict[str, _Running] = {}
        self._out: asyncio.Queue[service.SessionRequest] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._failures = 0
        self._welcomed = False
        self._probes: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(worker.room, thread_name_prefix="tool")

    async def run(self, stop: asyncio.Event) -> None:
        connecting = asyncio.ensure_future(self._connect_forever())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                connecting.result()
            self._do(self.session.stop())
            await self._until_idle()
        finally:
            calls = (each.task for each in self._running.values())
            for task in (connecting, stopping, *calls, *self._probes):
                if task is not None:
                    task.cancel()
            await asyncio.gather(connecting, stopping, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _until_idle(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("stopped with %d calls under way", len(self.session.attempts))

    async def _connect_forever(self) -> None:
        target = self._worker.target
        while True:
            try:
                async with open_channel(target, os.environ) as channel:
                    stub = ToolWorkerServiceStub(channel)
                    await self._converse(stub.Session(metadata=metadata(target, os.environ)))
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL and not self._may_have_a_new_token(error):
                    raise
                log.warning("run control at %s: %s", target, error.details())
            except TimeoutError:
                log.warning("run control at %s is silent", target)
            bound_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
            self._failures += 1
            await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311  # spreads, is no secret

    def _may_have_a_new_token(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether a token that was valid is not any more, and comes from a file that may change."""
        refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
        return refused and self._welcomed and bool(os.environ.get("RUNYARD_TOKEN_FILE"))

    async def _converse(self, call: Any) -> None:
        """One connection, to its end.

        Raises:
            TimeoutError: Run control answered no heartbeat for two thirds of a lease.
        """
        self._out = asyncio.Queue()
        self._do(self.session.connected())
        writing = asyncio.ensure_future(self._write(call))
        beating: asyncio.Future[None] | None = None
        silent_s = 0.0
        try:
            async with asyncio.timeout(None) as silence:
                async for message in call:
                    if message.HasField("welcome"):
                        log.info("serving %s", ", ".join(sorted(self._worker.tools)))
                        self._failures = 0
                        self._welcomed = True
                        silent_s = _seconds(message.welcome.lease) * _SILENT_SHARE
                        every_s = _seconds(message.welcome.heartbeat_interval)
                        beating = asyncio.ensure_future(self._beat(every_s))
                    if silent_s:
                        silence.reschedule(asyncio.get_running_loop().time() + silent_s)
                    self._do(self.session.heard(message))
        finally:
            for task in (writing, beating):
                if task is not None:
                    task.cancel()
            call.cancel()

    async def _write(self, call: Any) -> None:
        while True:
            await call.write(await self._out.get())

    async def _beat(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self._do(self.session.beat())

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message):
                    self._out.put_nowait(message)
                case Start(call):
                    running = self._running[call.ref.tool_call_id] = _Running(self, call)
                    running.task = asyncio.ensure_future(self._execute(running))
                case Stop(call_id):
                    self._stop(call_id)
                case Find(probe):
                    task = asyncio.ensure_future(self._find(probe))
                    self._probes.add(task)
                    task.add_done_callback(self._probes.discard)
        if self.session.idle:
            self._idle.set()
        else:
            self._idle.clear()

    def _stop(self, call_id: str) -> None:
        running = self._running.get(call_id)
        if running is None:
            return
        running.cancel()
        tool = self._worker.tools.get(running.call.tool_id)
        if tool is not None and tool.is_async and running.task is not None:
            running.task.cancel()

    async def _find(self, probe: pb.Probe) -> None:
        """Say what has become of a lost attempt, once it does not run here any more."""
        running = self._running.get(probe.ref.tool_call_id)
        if running is not None and running.task is not None:
            await asyncio.wait({running.task})
        tool = self._worker.tools.get(probe.tool_id)
        self._do(self.session.found(await found_out(tool, probe, self._threads)))

    async def _execute(self, running: _Running) -> None:
        ref = running.call.ref
        try:
            result = await self._result(running)
        except asyncio.CancelledError:
            effect = pb.Cancelled(effect=pb.EFFECT_UNKNOWN)
            self._do(self.session.ended(pb.Result(ref=ref, cancelled=effect)))
            raise
        finally:
            if self._running.get(ref.tool_call_id) is running:
                del self._running[ref.tool_call_id]
        if isinstance(result, pb.NeedInput):
            self._do(self.session.asked(result))
        else:
            self._do(self.session.ended(result))

    async def _result(self, running: _Running) -> pb.Result | pb.NeedInput:
        ref = running.call.ref
        try:
            content = await self._call(running)
            return pb.Result(ref=ref, succeeded=pb.Succeeded(content=content))
        except QuestionAsked as asked:
            return pb.NeedInput(ref=ref, question=asked.question, sealed_state=asked.sealed_state)
        except ToolError as error:
            retryable = isinstance(error, RetryableError)
            failed = pb.Failed(code=error.code, message=str(error), retryable=retryable)
        # A group of tasks may end with one that no other clause takes.
        except (Exception, BaseExceptionGroup) as error:
            log.exception("tool %s failed", running.call.tool_id)
            # The text of an unexpected error may hold what no model should read.
            failed = pb.Failed(code="INTERNAL", message=f"the tool failed: {type(error).__name__}")
        return pb.Result(ref=ref, failed=failed)

    async def _call(self, running: _Running) -> str:
        call = running.call
        tool = self._worker.tools.get(call.tool_id)
        if tool is None:
            raise ToolError(f"this worker has no tool {call.tool_id}", code="NO_SUCH_TOOL")
        bound = tool.bound(call.arguments_json, _context(call, running))
        if tool.is_async:
            return result_text(await bound())
        loop = asyncio.get_running_loop()
        return result_text(await loop.run_in_executor(self._threads, bound))


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()


def _end_with_parent() -> None:
    """Stop when the process that started this one is gone, which closes the input."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


# A repeat would end the same way.
_FINAL = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


def _context(call: pb.Call, running: _Running) -> Context:
    return Context(
        call_id=call.ref.tool_call_id,
        attempt=call.ref.attempt,
        idempotency_key=call.idempotency_key,
        run_id=call.run_id,
        thread_id=call.thread_id,
        agent_id=call.agent_id,
        principal=call.principal,
        deadline=call.deadline_time.ToDatetime() if call.HasField("deadline_time") else None,
        traceparent=call.traceparent,
        _reporter=running,
        _asking=Asking(call.resume.sealed_state, call.resume.answer_json),
    )
