"""``make bench-registry``: what a change costs, and how soon it is seen, in a growing registry.

Real server processes over gRPC on loopback, one for each engine and size, measured in turns. The
page of ``registry_load`` says what the fleet is and what one mutation does. The figures:

mutation      from sending ``ApplyResources`` of one changed agent to its answer
seen          from sending it to the moment a consumer, as router and run control have one, shows
              the new version; the consumer and the caller share a process
router seen   the same for a consumer that builds the router's own snapshot of every resource
watchers      from sending it until every one of 200 open watches has received the change, over
              eight connections; all 200 are read by one Python process, which is most of the time

SQLite writes with synchronous=FULL, PostgreSQL with its own settings on the same machine: the arm
is there if the server of RUNYARD_TEST_POSTGRES, or of the usual port, answers.

    python -m tests.bench.bench_registry [--rounds 5] [--mutations 40] [--sizes 100 1000 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from runyard.registry.v1 import registry_service_pb2 as rpc
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest
from runyard.types.v1.server_info_service_pb2_grpc import ServerInfoServiceStub
from services.chassis.calls.channel import open_channel
from services.chassis.calls.streaming import streaming
from services.chassis.clock import SystemClock
from services.chassis.drain import Drain
from services.chassis.store.kept_snapshot import Kept, KeptChange
from services.router.clients.snapshot import SnapshotBuilder
from services.wire.snapshot import Build, Resources, SnapshotConsumer
from tests.bench.registry_load import fleet, mutations
from tests.bench.report import Report, median_ratio, scratch
from tests.support.background import running
from tests.support.postgres import VARIABLE, answers, fresh_schema, server_url
from tests.support.stack import Stack

_WATCHERS = 200
_WATCHED_SIZE = 1_000
_CONNECTIONS = 8
_TARGETS = {"mutation_flatness_1e4": 0.2}


@dataclass(slots=True)
class Measured:
    """One arm: for each figure one list per round, in seconds."""

    store: str = ""
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)

    def add(self, figure: str, latencies_s: list[float]) -> None:
        self.rounds.setdefault(figure, []).append(latencies_s)

    def medians_s(self, figure: str) -> list[float]:
        return [statistics.median(each) for each in self.rounds[figure]]

    def figures(self) -> dict[str, float | str]:
        found: dict[str, float | str] = {"store": self.store}
        for figure, rounds in self.rounds.items():
            cuts = statistics.quantiles([one for each in rounds for one in each], n=100)
            for percent in (50, 95, 99):
                found[f"{figure}_p{percent}_ms"] = cuts[percent - 1] * 1000
        return found


class Subject:
    """A running registry that holds a fleet of ``size``."""

    def __init__(self, stack: Stack, channel: grpc.aio.Channel, size: int) -> None:
        self.target = stack.target("registry")
        self.channel = channel
        self.stub = RegistryServiceStub(channel)
        self.size = size
        self._mutations = mutations(size)

    def next_mutation(self) -> rpc.ApplyResourcesRequest:
        return next(self._mutations)

    async def apply(self, request: rpc.ApplyResourcesRequest) -> rpc.ApplyResourcesResponse:
        return await self.stub.ApplyResources(request, timeout=60)

    async def fill(self) -> None:
        for request in fleet(self.size):
            await self.apply(request)
        # Statement caches, pages and files are warm from here on.
        for _ in range(20):
            await self.apply(self.next_mutation())

    async def store(self) -> str:
        info = await ServerInfoServiceStub(self.channel).GetServerInfo(GetServerInfoRequest())
        return f"{info.store_engine} {info.store_version.split()[0]}"


@asynccontextmanager
async def _subject(folder: Path, url: str, size: int) -> AsyncIterator[Subject]:
    quiet = {"RUNYARD_REGISTRY_DATABASE_URL": url, "RUNYARD_REGISTRY_LOG_LEVEL": "warning"}
    stack = Stack(folder, environment={"registry": quiet})
    try:
        await stack.start("registry")
        async with open_channel(stack.target("registry")) as channel:
            subject = Subject(stack, channel, size)
            await subject.fill()
            yield subject
    finally:
        await stack.stop()


async def _mutate(subject: Subject, count: int) -> list[float]:
    taken_s = []
    for _ in range(count):
        request = subject.next_mutation()
        began_s = time.perf_counter()
        await subject.apply(request)
        taken_s.append(time.perf_counter() - began_s)
    return taken_s


class _Forgetful:
    """Keeps no copy: what a consumer does after it has shown a version is not measured."""

    async def load(self) -> Kept | None:
        return None

    async def save(self, change: KeptChange) -> None:
        return None


async def _see(subject: Subject, count: int, build: Build[Any]) -> list[float]:
    """From sending a change to the moment at which a consumer shows it."""
    shown_s: dict[int, float] = {}

    def noting(resources: Resources, version: int, incarnation: str) -> object:
        built = build(resources, version, incarnation)
        shown_s[version] = time.perf_counter()
        return built

    taken_s = []
    async with open_channel(subject.target) as channel:
        consumer = SnapshotConsumer(channel, _Forgetful(), noting, SystemClock(), Drain())
        async with running(consumer.run()):
            await consumer.at_least(1, timeout_s=60)
            for _ in range(count):
                request = subject.next_mutation()
                began_s = time.perf_counter()
                version = (await subject.apply(request)).version
                await consumer.at_least(version, timeout_s=60)
                taken_s.append(shown_s[version] - began_s)
    return taken_s


def _nothing(_resources: Resources, version: int, _incarnation: str) -> int:
    return version


def _routable() -> Build[object]:
    build = SnapshotBuilder().build
    return lambda resources, version, incarnation: build(resources.values(), version, incarnation)


async def _watch(subject: Subject, count: int) -> list[float]:
    """From sending a change until every watcher has received it."""
    async with AsyncExitStack() as stack:
        watches = await _open_watches(subject, stack)
        taken_s = []
        for number in range(count + 1):
            request = subject.next_mutation()
            began_s = time.perf_counter()
            received = asyncio.gather(*(watch.read() for watch in watches))
            await subject.apply(request)
            await received
            if number:  # the first one also waits until all are open
                taken_s.append(time.perf_counter() - began_s)
        return taken_s


async def _open_watches(subject: Subject, stack: AsyncExitStack) -> list[Any]:
    page = await subject.stub.ListResources(rpc.ListResourcesRequest(page_size=1))
    whole = rpc.WatchSnapshotRequest()
    async with streaming(subject.stub.WatchSnapshot(whole)) as call:
        incarnation = (await call.read()).incarnation
    request = rpc.WatchSnapshotRequest(after_version=page.version, incarnation=incarnation)
    own = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one server share a connection
    watches = []
    for _ in range(_CONNECTIONS):
        channel = grpc.aio.insecure_channel(subject.target, options=own)
        stub = RegistryServiceStub(await stack.enter_async_context(channel))
        for _ in range(_WATCHERS // _CONNECTIONS):
            opened = streaming(stub.WatchSnapshot(request))
            watches.append(await stack.enter_async_context(opened))
    return watches


Figure = Callable[[Subject, int], Awaitable[list[float]]]
_FIGURES: Sequence[tuple[str, Figure]] = (
    ("mutation", _mutate),
    ("seen", lambda subject, count: _see(subject, count, _nothing)),
    ("router_seen", lambda subject, count: _see(subject, count, _routable())),
)


async def measure(
    folder: Path, sizes: Sequence[int], rounds: int, count: int
) -> dict[tuple[str, int], Measured]:
    """Every engine and size in turns, so that a machine that varies does so for all of them."""
    results: dict[tuple[str, int], Measured] = {}
    async with AsyncExitStack() as stack:
        subjects: dict[tuple[str, int], Subject] = {}
        for engine, urls in stack.enter_context(_databases(folder, sizes)).items():
            for size, url in urls.items():
                place = tempfile.mkdtemp(dir=folder)
                opened = _subject(Path(place), url, size)
                subject = subjects[engine, size] = await stack.enter_async_context(opened)
                results[engine, size] = Measured(await subject.store())
        for _ in range(rounds):
            for figure, measured in _FIGURES:
                for key, subject in subjects.items():
                    results[key].add(figure, await measured(subject, count))
            for key, subject in subjects.items():
                if subject.size == _WATCHED_SIZE:
                    latencies_s = await _watch(subject, max(2, count // 4))
                    results[key].add(f"all_{_WATCHERS}_watchers", latencies_s)
    return results


@contextmanager
def _databases(folder: Path, sizes: Sequence[int]) -> Iterator[dict[str, dict[int, str]]]:
    """An empty database for every engine that is there and every size."""
    found = {"sqlite": {size: f"sqlite:///{folder.absolute()}/{size}.db" for size in sizes}}
    server = server_url()
    with ExitStack() as stack:
        if answers(server):
            urls = {size: stack.enter_context(fresh_schema(server)) for size in sizes}
            found["postgresql"] = urls
        else:
            print(f"no PostgreSQL answers at {VARIABLE}: its arms are absent")
        yield found


def report(results: dict[tuple[str, int], Measured]) -> Report:
    arms = {f"{engine}, {size:,}": each.figures() for (engine, size), each in results.items()}
    ratios: dict[str, float] = {}
    for engine in dict.fromkeys(engine for engine, _ in results):
        for figure in ("mutation", "seen", "router_seen"):
            if {(engine, 100), (engine, 10_000)} <= results.keys():
                suffix = "" if engine == "sqlite" else f"_{engine}"
                small, large = (results[engine, size].medians_s(figure) for size in (100, 10_000))
                ratios[f"{figure}_flatness_1e4{suffix}"] = median_ratio(small, large)
    return Report("registry", arms, ratios, _TARGETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mutations", type=int, default=40)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    options = parser.parse_args()
    with scratch() as folder:
        results = asyncio.run(measure(folder, options.sizes, options.rounds, options.mutations))
    print(__doc__)
    report(results).publish()


if __name__ == "__main__":
    main()
