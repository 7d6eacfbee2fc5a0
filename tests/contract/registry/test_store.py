"""The store of each engine beside the model of dictionaries: the same answers to every question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError
from services.chassis.notifier import LocalNotifier
from services.registry.api.convert import encode_answer
from services.registry.api.resources import ProtobufCodec
from services.registry.core.applying import ApplyCommand
from services.registry.core.model import (
    BuiltinAdapter,
    Kind,
    Model,
    ModelPool,
    PoolMember,
    Provider,
    Ref,
    Resource,
    Tool,
    WorkerExecutor,
)
from services.registry.core.ports import ListQuery, Origin, RegistryReads, RegistryStore
from services.registry.core.registry import Registry
from services.registry.core.validating import Submitted, Wanted
from services.registry.store.registry_store import SNAPSHOT_CHANNEL
from tests.contract.registry.databases import Databases, opened
from tests.support.clock import ManualClock
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_strategies import IDS, agents, models, pools, tools

CODEC = ProtobufCodec()
EVERY_REF = [Ref(kind, id_) for kind in Kind for id_ in IDS]
EVERY_TARGET = frozenset(ref.target for ref in EVERY_REF)

# What an edit may refer to, so that more edits pass than are refused.
GROUND: list[Resource] = [
    *(Provider(id_, BuiltinAdapter()) for id_ in IDS),
    *(Tool(id_, WorkerExecutor()) for id_ in IDS),
    *(Model(id_, "a", "upstream") for id_ in IDS[:2]),
]
EDITS = st.lists(
    st.tuples(
        st.lists(st.one_of(models(), agents(), tools(), pools()), max_size=3),
        st.sampled_from(["", "s", "t"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


async def edit(
    store: RegistryStore, resources: Sequence[Resource], apply_set: str, prune: bool
) -> object:
    registry = Registry(store, CODEC, encode_answer, ManualClock())
    submitted = tuple(Submitted(f"r[{n}]", each) for n, each in enumerate(resources))
    command = ApplyCommand(submitted, apply_set=apply_set, prune=prune)
    try:
        return await registry.apply(Origin(LOCAL_PRINCIPAL, "/Apply"), command)
    except DomainError as error:
        return error.reason, error.violations


def everything(reads: RegistryReads) -> dict[str, object]:
    """The answer to every question of the port."""
    head = reads.head()
    versions = range(1, head.version + 1)
    around = reads.surroundings(Wanted(EVERY_TARGET, EVERY_TARGET))
    query = ListQuery(None, "", None, 1000)
    return {
        "head": head,
        "held": reads.held(EVERY_REF),
        "marked": {mark: sorted(reads.marked(mark)) for mark in ("s", "t")},
        "kinds": around.kinds,
        "users": sorted(reads.dependents(EVERY_TARGET)),
        "dependents": {target: sorted(refs) for target, refs in around.dependents.items()},
        "stored": [reads.stored(ref) for ref in EVERY_REF],
        "listed": reads.listed(query),
        "tools": reads.listed(replace(query, kind=Kind.TOOL, apply_set="s")),
        "second page": reads.listed(replace(query, after=Ref(Kind.MODEL, "a"), limit=2)),
        "hashes": [reads.snapshot_hash(version) for version in range(head.version + 2)],
        "net changes": [
            [(sized, reads.stored_at(sized.ref, to) is None) for sized in found]
            for to in versions
            for since in range(to)
            if (found := reads.changed(since, to, None, 1000)) is not None
        ],
        "pages of changes": [
            reads.changed(since, head.version, Ref(Kind.MODEL, "b"), 2)
            for since in range(head.version)
        ],
    }


@settings(max_examples=20)
@given(edits=EDITS)
async def test_all_stores_answer_alike(
    databases: Databases, edits: list[tuple[list[Resource], str, bool]]
) -> None:
    with databases() as url:
        async with opened(url) as store:
            model = MemoryRegistryStore()
            for resources, apply_set, prune in [(GROUND, "s", False), *edits]:
                assert await edit(store, resources, apply_set, prune) == await edit(
                    model, resources, apply_set, prune
                )
                assert await store.read(everything) == await model.read(everything)


async def test_watchers_are_rung_for_versions_only(database_url: str) -> None:
    notifier = LocalNotifier()
    async with opened(database_url, notifier) as store:
        with notifier.bell(SNAPSHOT_CHANNEL) as bell:
            # when an edit is refused, when one is done, and when only a mark changes
            rung = []
            for resources, mark in ((a_pool()[1:], ""), (a_pool(), ""), (a_pool(), "marked")):
                await edit(store, resources, mark, prune=False)
                rung.append(await bell.wait(0))

    # then
    assert rung == [False, True, False]


def a_pool() -> list[Resource]:
    return [
        Provider("p", BuiltinAdapter()),
        Model("m", "p", "u"),
        ModelPool("mp", (PoolMember("m"),)),
    ]


async def test_a_refused_edit_leaves_nothing_behind(database_url: str) -> None:
    async with opened(database_url) as store:
        # given
        await edit(store, a_pool(), "s", prune=False)
        before = await store.read(everything)

        # when a model would go from under its pool
        provider, _, pool = a_pool()
        outcome = await edit(store, [provider, pool], "s", prune=True)

        # then
        assert isinstance(outcome, tuple)
        assert outcome[0] == "INVALID_REQUEST"
        assert await store.read(everything) == before


@pytest.mark.parametrize("incarnation", ["second", "third"])
async def test_a_registry_is_founded_once(database_url: str, incarnation: str) -> None:
    async with opened(database_url) as store:
        await edit(store, a_pool(), "", prune=False)

        head = await store.found(incarnation)

    assert (head.version, head.incarnation) == (2, "in-memory")
