"""A registry process that is killed, a client that repeats its writes, watchers that reconnect.

The writer expects each write to make the next version, however often it was repeated: it creates
one resource, which would be refused a second time, and prunes another. The watchers compare what
they hold at the newest version with what ``GetSnapshot`` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import grpc

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import APPLY_MODE_CREATE, ApplyResourcesRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.clock import SystemClock
from services.chassis.drain import Drain
from services.wire.snapshot import Resources, SnapshotConsumer
from tests.support.background import running
from tests.support.memory_kept_snapshot import MemoryKept
from tests.support.registry_resources import provider
from tests.support.snapshot_follower import EOF, Follower, Name, bare, name_of, snapshot_of, watch
from tests.support.stack import IMPATIENT, ServerExitedError, Stack

T = TypeVar("T")

# What a caller may meet while a server dies or is away; anything else is a defect.
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
_KILLED = -9


class ServerRun:
    """One process of the registry, from its start to its end.

    Attributes:
        failpoints: What it is started with, as ``store.committed=kill@6``; empty for none.
        end: ``served and was killed``, ``was killed at its start``, ``… as it stopped``, or
            ``survived``.
    """

    def __init__(self, failpoints: str) -> None:
        self.failpoints = failpoints
        self.end = ""

    def __repr__(self) -> str:
        return f"{self.failpoints}: {self.end}"


class Clients:
    """One writer and two watchers, which outlast each process of the registry."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target, options=IMPATIENT)
        self.stub = RegistryServiceStub(self.channel)
        self.follower = Follower()
        self.version = 1
        self.writes = 0
        self._unanswered: ApplyResourcesRequest | None = None
        self._changed = asyncio.Event()
        self._consumer = SnapshotConsumer(
            self.channel, MemoryKept(), self._build, _ShortPauses(), Drain()
        )

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async with self.channel, running(self._consumer.run()), running(self._follow()):
            yield

    async def _follow(self) -> None:
        while True:
            try:
                async with watch(self.stub, self.follower) as call:
                    while (frame := await call.read()) is not EOF:
                        if self.follower.take(frame):
                            self._announce()
            except grpc.aio.AioRpcError as error:
                _raise_unless_away(error)
            self.follower.broken_off()
            await self.channel.channel_ready()

    def _build(
        self, resources: Resources, _version: int, _incarnation: str
    ) -> Mapping[Name, pb.Resource]:
        self._announce()
        return {name_of(each): bare(each) for each in resources.values()}

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def write(self) -> None:
        """Make one change and repeat it until a server acknowledges it: it is one version."""
        if self._unanswered is None:
            self.writes += 1
            self._unanswered = ApplyResourcesRequest(
                resources=[provider(f"p{self.writes}")],
                mode=APPLY_MODE_CREATE,
                apply_set=f"set-{self.writes % 5}",
                prune=True,
                request_id=f"write-{self.writes}",
            )
        request = self._unanswered
        answer = await self._until_served(lambda: self.stub.ApplyResources(request, timeout=30))
        assert answer.version == self.version + 1, f"write {self.writes}"
        self.version, self._unanswered = answer.version, None

    async def compare(self) -> None:
        """Wait until both watchers are at the newest version, and compare them with it."""
        while min(self.follower.version, self._consumer.version) < self.version:
            await self._changed.wait()
        newest = await self._until_served(lambda: snapshot_of(self.stub))
        assert newest.version == self._consumer.version == self.follower.version == self.version
        assert newest.resources == self._consumer.current == self.follower.resources
        written = range(max(1, self.writes - 4), self.writes + 1)
        assert set(newest.resources) == {("provider", f"p{number}") for number in written}

    async def _until_served(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                _raise_unless_away(error)
            await self.channel.channel_ready()


class _ShortPauses(SystemClock):
    """Sleeps 50 ms at most, so that a consumer reconnects soon after a restart."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(min(delay_s, 0.05))


def _raise_unless_away(error: grpc.aio.AioRpcError) -> None:
    if error.code() not in _AWAY:
        raise error


async def run_registry(stack: Stack, run: ServerRun, clients: Clients, rounds: int = 2) -> None:
    """Start the server with ``run.failpoints`` and write until it dies or all rounds are done.

    ``run.end`` then says how it ended. A round is four writes and a comparison.
    """
    settings = stack.environment.setdefault("registry", {})
    settings["RUNYARD_REGISTRY_FAILPOINTS"] = run.failpoints
    try:
        await stack.start("registry")
    except ServerExitedError:
        run.end = _ended(stack, "was killed at its start")
        return
    process = stack.processes["registry"]
    ended = asyncio.ensure_future(process.wait())
    writing = asyncio.ensure_future(_write_and_compare(clients, rounds))
    await asyncio.wait({ended, writing}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        writing.cancel()  # what was under way is repeated to the next process
        await asyncio.gather(writing, return_exceptions=True)
        run.end = _ended(stack, "served and was killed")
        return
    writing.result()
    process.terminate()
    await ended
    run.end = _ended(stack, "was killed as it stopped")


async def _write_and_compare(clients: Clients, rounds: int) -> None:
    for _ in range(rounds):
        for _ in range(4):
            await clients.write()
        await clients.compare()


def _ended(stack: Stack, words: str) -> str:
    code = stack.processes.pop("registry").returncode
    assert code in {0, _KILLED}, stack.log("registry")
    return words if code == _KILLED else "survived"
