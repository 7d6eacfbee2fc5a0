"""A registry whose process dies again and again, a writer that repeats, watchers that come back.

The writer expects of every write that it is one version, the next one, however often it had to be
repeated: it creates a resource, which a second time would be refused, and prunes one. The watchers
expect to have at the newest version what ``GetSnapshot`` says of it.
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
from tests.support.following import EOF, Follower, Name, bare, name_of, snapshot_of, watch
from tests.support.kept import MemoryKept
from tests.support.registry_resources import provider
from tests.support.stack import IMPATIENT, ServerExitedError, Stack
from tests.support.tasks import running

T = TypeVar("T")

# What a caller may meet while a server dies or is away; anything else is a defect.
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
_KILLED = -9


class Life:
    """One process, from its start to its end.

    Attributes:
        spec: The failpoint it was armed with.
        end: ``served and was killed``, ``was killed at its start``, ``… as it stopped``, or
            ``survived``.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.end = ""

    def __repr__(self) -> str:
        return f"{self.spec}: {self.end}"


class Witness:
    """One writer and two watchers over every life of the registry."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target, options=IMPATIENT)
        self.stub = RegistryServiceStub(self.channel)
        self.follower = Follower()
        self.version = 1
        self.writes = 0
        self._unanswered: ApplyResourcesRequest | None = None
        self._news = asyncio.Event()
        self._consumer = SnapshotConsumer(
            self.channel, MemoryKept(), self._build, _Hasty(), Drain()
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
                            self._tell()
            except grpc.aio.AioRpcError as error:
                _only_away(error)
            self.follower.broken_off()
            await self.channel.channel_ready()

    def _build(
        self, resources: Resources, _version: int, _incarnation: str
    ) -> Mapping[Name, pb.Resource]:
        self._tell()
        return {name_of(each): bare(each) for each in resources.values()}

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def write(self) -> None:
        """One change, repeated until it is acknowledged, also by the next life: one version."""
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

    async def agree(self) -> None:
        """Wait until both watchers are at the newest version, and compare them with it."""
        while min(self.follower.version, self._consumer.version) < self.version:
            await self._news.wait()
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
                _only_away(error)
            await self.channel.channel_ready()


class _Hasty(SystemClock):
    """Comes back to a restarted server at once: the pauses of a consumer are tested elsewhere."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(min(delay_s, 0.05))


def _only_away(error: grpc.aio.AioRpcError) -> None:
    if error.code() not in _AWAY:
        raise error


async def live(stack: Stack, life: Life, witness: Witness, rounds: int = 2) -> None:
    """Start the server armed with ``life.spec`` and write until it dies, or has had enough."""
    settings = stack.environment.setdefault("registry", {})
    settings["RUNYARD_REGISTRY_FAILPOINTS"] = life.spec
    try:
        await stack.start("registry")
    except ServerExitedError:
        life.end = _ended(stack, "was killed at its start")
        return
    process = stack.processes["registry"]
    died = asyncio.ensure_future(process.wait())
    writing = asyncio.ensure_future(_write_and_compare(witness, rounds))
    await asyncio.wait({died, writing}, return_when=asyncio.FIRST_COMPLETED)
    if died.done():
        writing.cancel()  # what was under way is repeated by the next life
        await asyncio.gather(writing, return_exceptions=True)
        life.end = _ended(stack, "served and was killed")
        return
    writing.result()
    process.terminate()
    await died
    life.end = _ended(stack, "was killed as it stopped")


async def _write_and_compare(witness: Witness, rounds: int) -> None:
    for _ in range(rounds):
        for _ in range(4):
            await witness.write()
        await witness.agree()


def _ended(stack: Stack, words: str) -> str:
    code = stack.processes.pop("registry").returncode
    assert code in {0, _KILLED}, stack.log("registry")
    return words if code == _KILLED else "survived"
