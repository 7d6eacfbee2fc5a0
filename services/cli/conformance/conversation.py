"""One session of the worker that is examined, from the side of run control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceServicer

T = TypeVar("T")

# The only tool of the kit; docs/ops/worker-conformance.md says what it does.
TOOL = "note"
PROTOCOL = 1
HEARTBEAT_MS = 200
ACCEPT_TIMEOUT_S = 2


class Deviation(Exception):  # noqa: N818  # a finding, not an error of the kit
    """The worker did something else than the contract asks.

    Attributes:
        expected: What it should have done.
        seen: What it did.
    """

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = expected
        self.seen = seen


class Conversation:
    """What the worker says, in order; its heartbeats are answered at once.

    Args:
        limit_s: Seconds that the worker gets for each step.

    Attributes:
        hello: How it began.
        credit: How many more calls it may be given.
        fenced: Attempts whose lease is refused from here on.
    """

    def __init__(self, hello: pb.Hello, limit_s: float) -> None:
        self.hello = hello
        self._limit_s = limit_s
        self.credit = 0
        self.fenced: list[pb.CallRef] = []
        self._said: asyncio.Queue[service.SessionRequest] = asyncio.Queue()
        self._out: asyncio.Queue[service.SessionResponse | None] = asyncio.Queue()
        self._beats: list[pb.Heartbeat] = []
        self._changed = asyncio.Condition()

    def say(self, **message: Any) -> None:
        """Send the message of this name to the worker."""
        self._out.put_nowait(service.SessionResponse(**message))

    def welcome(self, epoch: int, lease_s: float, verdicts: Iterable[pb.InflightVerdict]) -> None:
        lease = Duration()
        lease.FromMilliseconds(int(lease_s * 1000))
        heartbeat = Duration()
        heartbeat.FromMilliseconds(HEARTBEAT_MS)
        self.say(
            welcome=pb.Welcome(
                session_id=f"session-{epoch}",
                session_epoch=epoch,
                protocol=PROTOCOL,
                heartbeat_interval=heartbeat,
                lease=lease,
                accept_timeout=Duration(seconds=ACCEPT_TIMEOUT_S),
                verdicts=verdicts,
            )
        )

    def give(self, call: pb.Call) -> None:
        """Send a call and take it off the credit."""
        self.credit -= 1
        self.say(call=call)

    def cut(self) -> None:
        """Break the session off."""
        self._out.put_nowait(None)

    async def next(self, kind: str, what: str) -> Any:
        """The next message that is neither a heartbeat nor a credit.

        Args:
            kind: Its name in the contract's ``SessionRequest``.
            what: For the report: what the worker should do.

        Raises:
            Deviation: It is another one.
        """
        message = await in_time(self._said.get(), self._limit_s, what, "nothing of the kind")
        if message.WhichOneof("message") != kind:
            raise Deviation(what, _told(message))
        return getattr(message, kind)

    async def beats(self, count: int, what: str) -> list[pb.Heartbeat]:
        """The next heartbeats."""
        start = len(self._beats)

        async def enough() -> list[pb.Heartbeat]:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._beats) >= start + count)
            return self._beats[start : start + count]

        return await in_time(enough(), self._limit_s, what, "no heartbeat")

    async def beat_with(self, wanted: Callable[[pb.Heartbeat], bool], what: str) -> None:
        """Wait for a heartbeat of which ``wanted`` holds."""

        async def found() -> None:
            seen = 0
            async with self._changed:
                while True:
                    if any(wanted(beat) for beat in self._beats[seen:]):
                        return
                    seen = len(self._beats)
                    await self._changed.wait()

        await in_time(found(), self._limit_s, what, "no such heartbeat")

    async def credit_of(self, least: int, what: str) -> int:
        """The credit, once it is at least that."""

        async def enough() -> int:
            async with self._changed:
                await self._changed.wait_for(lambda: self.credit >= least)
            return self.credit

        return await in_time(enough(), self._limit_s, what, f"credit for {self.credit} calls")

    async def exchange(
        self, messages: AsyncIterator[service.SessionRequest]
    ) -> AsyncGenerator[service.SessionResponse, None]:
        """Carry the messages of both sides until the script cuts the session."""
        reading = asyncio.ensure_future(self._read(messages))
        try:
            while (message := await self._out.get()) is not None:
                yield message
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, messages: AsyncIterator[service.SessionRequest]) -> None:
        async for message in messages:
            async with self._changed:
                kind = message.WhichOneof("message")
                if kind == "heartbeat":
                    self._beats.append(message.heartbeat)
                    self.say(lease=pb.Lease(calls=map(self._lease, message.heartbeat.calls)))
                elif kind == "credit":
                    self.credit += message.credit.calls
                else:
                    self._said.put_nowait(message)
                self._changed.notify_all()

    def _lease(self, call: pb.CallProgress) -> pb.CallLease:
        if call.ref in self.fenced:
            return pb.CallLease(ref=call.ref)
        until = Timestamp()
        until.GetCurrentTime()
        until.seconds += 60
        return pb.CallLease(ref=call.ref, until_time=until)


class ScriptedServer(ToolWorkerServiceServicer):
    """Takes the sessions of one worker; a script decides what it hears.

    Args:
        limit_s: Seconds that the worker gets for each step.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._sessions: asyncio.Queue[Conversation] = asyncio.Queue()
        self._all: list[Conversation] = []

    async def Session(  # noqa: N802  # the name of the contract
        self, request_iterator: AsyncIterator[service.SessionRequest], context: Any
    ) -> AsyncGenerator[service.SessionResponse, None]:
        first = await anext(request_iterator, service.SessionRequest())
        conversation = Conversation(first.hello, self._limit_s)
        if first.WhichOneof("message") != "hello":
            conversation.hello.Clear()
        self._sessions.put_nowait(conversation)
        self._all.append(conversation)
        async for message in conversation.exchange(request_iterator):
            yield message

    def cut(self) -> None:
        """Break every session off."""
        for conversation in self._all:
            conversation.cut()

    async def ReportResult(  # noqa: N802  # the name of the contract
        self, request: service.ReportResultRequest, context: Any
    ) -> service.ReportResultResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the kit takes results in the session")
        raise AssertionError("abort raises")

    async def next_session(self, what: str, least_limit_s: float = 0.0) -> Conversation:
        """The next session, which begins with a Hello that run control takes.

        Raises:
            Deviation: There is none, or it begins in another way.
        """
        limit_s = max(self._limit_s, least_limit_s)
        session = await in_time(self._sessions.get(), limit_s, what, "no session")
        hello = session.hello
        if not (hello.worker_id and hello.instance_id):
            raise Deviation("Hello first, with worker_id and instance_id", f"Hello {hello}")
        if not hello.min_protocol <= PROTOCOL <= hello.max_protocol:
            seen = f"versions {hello.min_protocol} to {hello.max_protocol}"
            raise Deviation(f"Hello with protocol version {PROTOCOL}", seen)
        if TOOL not in {tool.tool_id for tool in hello.tools}:
            seen = ", ".join(tool.tool_id for tool in hello.tools) or "no tools"
            raise Deviation(f"Hello with the tool {TOOL}", seen)
        return session


async def in_time(awaited: Awaitable[T], limit_s: float, what: str, seen: str) -> T:
    """What is awaited.

    Raises:
        Deviation: It took longer.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await awaited
    except TimeoutError:
        raise Deviation(what, f"{seen} in {limit_s:g} s") from None


def _told(message: service.SessionRequest) -> str:
    """A message on one line."""
    return " ".join(str(message).split())[:300] or "an empty message"
