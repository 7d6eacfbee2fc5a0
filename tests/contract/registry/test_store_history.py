"""The past in the store of each engine beside the model of dictionaries: the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from tempfile import TemporaryDirectory
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.registry.api.convert import encode_answer
from services.registry.api.history import encode_rolled_back
from services.registry.api.resources import ProtobufCodec
from services.registry.core.applying import ApplyCommand
from services.registry.core.auditing import FIRST_REF, AuditPage, AuditQuery
from services.registry.core.hashing import hashes_of
from services.registry.core.history import DiffQuery, History
from services.registry.core.history_ports import (
    ChangeKey,
    HistoryReads,
    HistoryStore,
    HistoryTx,
    Span,
    VersionFilter,
)
from services.registry.core.model import (
    BuiltinAdapter,
    Kind,
    Model,
    Provider,
    Ref,
    Resource,
    Tool,
    WorkerExecutor,
)
from services.registry.core.ports import Origin
from services.registry.core.registry import Registry
from services.registry.core.retaining import Keeping
from services.registry.core.rolling_back import RollbackCommand
from services.registry.core.validating import Submitted
from services.registry.engine.retention import Retention
from services.registry.store.registry_store import SqlRegistryStore
from services.registry.store.tables import MIGRATIONS, metadata
from tests.support.clock import START, ManualClock
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.postgres import fresh_schema
from tests.support.registry_strategies import IDS, agents, models, pools, tools

CODEC = ProtobufCodec()
EVERY_REF = [Ref(kind, id_) for kind in Kind for id_ in IDS]
GROUND: tuple[Resource, ...] = (
    *(Provider(id_, BuiltinAdapter()) for id_ in IDS),
    *(Tool(id_, WorkerExecutor()) for id_ in IDS),
    *(Model(id_, "a", "upstream") for id_ in IDS[:2]),
)
ANY = VersionFilter()
FILTERS = [
    ANY,
    VersionFilter(actor="ann"),
    VersionFilter(since=START + timedelta(seconds=2)),
    VersionFilter(actor="bob", until=START + timedelta(seconds=3)),
]


@dataclass(frozen=True)
class Edit:
    resources: tuple[Resource, ...]
    apply_set: str
    prune: bool
    actor: str


@dataclass(frozen=True)
class Rollback:
    """To that many versions before the current one."""

    back: int


@dataclass(frozen=True)
class Retire:
    keep: int


class Hash:
    """Write down the hashes of some versions."""


Step: TypeAlias = Edit | Rollback | Retire | Hash

EDITS = st.builds(
    Edit,
    st.lists(st.one_of(models(), agents(), tools(), pools()), max_size=3).map(tuple),
    st.sampled_from(["", "s", "t"]),
    st.booleans(),
    st.sampled_from(["ann", "bob"]),
)
STEPS = st.lists(
    st.one_of(
        EDITS,
        EDITS,
        st.builds(Rollback, st.integers(0, 4)),
        st.builds(Retire, st.integers(1, 4)),
        st.builds(Hash),
    ),
    min_size=2,
    max_size=8,
)


class Bench:
    """The use cases on one store."""

    def __init__(self, store: HistoryStore) -> None:
        self.store = store
        self.clock = ManualClock()
        self.registry = Registry(store, CODEC, encode_answer, self.clock)
        self.history = History(store, CODEC, encode_rolled_back, self.clock)

    async def step(self, step: Step) -> object:
        self.clock.advance(1)
        try:
            return await self._step(step)
        except DomainError as error:
            return error.reason, error.violations, error.metadata

    async def _step(self, step: Step) -> object:
        match step:
            case Edit(resources, apply_set, prune, actor):
                submitted = tuple(Submitted(f"r[{n}]", one) for n, one in enumerate(resources))
                command = ApplyCommand(submitted, apply_set=apply_set, prune=prune)
                return await self.registry.apply(_by(actor, "/Apply"), command)
            case Rollback(back):
                current = (await self.registry.snapshot_facts(None)).version
                wish = RollbackCommand(max(1, current - back))
                return await self.history.rollback(_by("ann", "/Rollback"), wish)
            case Retire(keep):
                keeping = Keeping(keep, timedelta())
                await Retention(self.store, keeping, self.clock).round()
                return None
            case Hash():
                return await self.store.write(_hash_two)

    async def audit(self, query: AuditQuery) -> list[AuditPage]:
        """Every page."""
        pages = [await self.history.audit(query)]
        while before := pages[-1].next_before:
            pages.append(await self.history.audit(replace(query, before=before)))
        return pages


def _by(actor: str, method: str) -> Origin:
    return Origin(replace(LOCAL_PRINCIPAL, name=actor), method)


def _hash_two(tx: HistoryTx) -> Mapping[int, bytes]:
    hashes = hashes_of(tx, tx.unhashed(2))
    tx.keep_hashes({**hashes, 1_000_000: b"of a version that is gone"})
    return hashes


def past(reads: HistoryReads) -> dict[str, object]:
    """The answer to every question about the past."""
    head = reads.head()
    kept = range(head.oldest_version, head.version + 1)
    pairs = [(older, newer) for older in kept for newer in kept if older <= newer]
    middle = ChangeKey(head.version - 1, Ref(Kind.MODEL, "b"))
    top = ChangeKey(head.version + 1, FIRST_REF)
    return {
        "head": head,
        "published": [reads.published(which, head.version - 1, 3) for which in FILTERS],
        "first": reads.published_first(2),
        "unhashed": reads.unhashed(2),
        "lineages": [reads.lineage(version) for version in range(head.version + 2)],
        "hashes": [reads.snapshot_hash(version) for version in range(head.version + 2)],
        "entries": {pair: reads.entries(Span(*pair)) for pair in pairs},
        "differing": {pair: reads.differing(*pair, None, 1000) for pair in pairs},
        "pages": {pair: reads.differing(*pair, Ref(Kind.MODEL, "a"), 2) for pair in pairs},
        "changes": [
            reads.changes_in(Span(*pair), kind, before, limit)
            for pair, kind, before, limit in product(
                pairs[:6], (None, Kind.MODEL), (top, middle), (2, 1000)
            )
        ],
        "of one": [
            reads.changes_of(ref, which, head.version, 3) for ref in EVERY_REF for which in FILTERS
        ],
    }


async def compare(
    open_url: Callable[[], AbstractContextManager[str]], steps: Sequence[Step]
) -> None:
    with open_url() as url:
        async with opened(url) as store:
            real, model = Bench(store), Bench(MemoryRegistryStore())
            for step in [Edit(GROUND, "s", False, "ann"), *steps]:
                assert await real.step(step) == await model.step(step)
                assert await real.store.read(past) == await model.store.read(past)
            for which, kind, id_ in product(FILTERS, (None, Kind.AGENT), ("", "a")):
                query = AuditQuery(kind, id_, which, limit=3)
                assert await real.audit(query) == await model.audit(query)
            versions = [await bench.history.versions(None, 3) for bench in (real, model)]
            assert versions[0] == versions[1]
            head = await real.store.read(lambda reads: reads.head())
            backwards = DiffQuery(head.version, head.oldest_version, None, 2)
            assert await real.history.diff(backwards) == await model.history.diff(backwards)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlRegistryStore]:
    clock = ManualClock()
    database = open_store(
        url, metadata=metadata, migrations=MIGRATIONS, clock=clock, notifier=LocalNotifier()
    )
    async with database as found:
        store = SqlRegistryStore(found, clock)
        await store.found("in-memory")
        yield store


@contextmanager
def sqlite_url() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/registry.db"


@settings(max_examples=40)
@given(STEPS)
async def test_sqlite_tells_the_past_as_the_model_does(steps: Sequence[Step]) -> None:
    await compare(sqlite_url, steps)


@settings(max_examples=12)
@given(steps=STEPS)
async def test_postgresql_tells_the_past_as_the_model_does(
    postgres_server: str, steps: Sequence[Step]
) -> None:
    await compare(lambda: fresh_schema(postgres_server), steps)
