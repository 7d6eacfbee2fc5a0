"""The store of each engine beside the model of dictionaries: the same answers to every question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.errors import DomainError
from services.chassis.follow.notifier import LocalNotifier
from services.registry.api.resources.codec import ProtobufCodec
from services.registry.core import model
from services.registry.core.ports import Reads, Store
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import ListQuery, ReferenceQuery
from services.registry.store.store import SNAPSHOT_CHANNEL
from tests.contract.registry.databases import EmptyStore, opened
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.profiles import amount
from tests.support.registry_strategies import EVERY_REF, REFERRED_TO, agents, models, pools, tools
from tests.support.registry_use_cases import UseCases

EVERY_TARGET = frozenset(ref.target for ref in EVERY_REF)

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
    store: Store, resources: Iterable[model.Resource], apply_set: str, prune: bool
) -> object:
    use_cases = UseCases(store, ProtobufCodec())
    try:
        return await use_cases.apply(*resources, apply_set=apply_set, prune=prune)
    except DomainError as error:
        return error.reason, error.violations


def everything(reads: Reads) -> dict[str, object]:
    """The answer to every question of the port."""
    head = reads.head()
    versions = range(1, head.version + 1)
    facts = reads.reference_facts(ReferenceQuery(EVERY_TARGET, EVERY_TARGET))
    query = ListQuery(None, "", None, 1000)
    return {
        "head": head,
        "held": reads.existing(EVERY_REF),
        "marked": {mark: sorted(reads.in_apply_set(mark)) for mark in ("s", "t")},
        "kinds": facts.kinds,
        "users": sorted(reads.dependents(EVERY_TARGET)),
        "dependents": {target: sorted(refs) for target, refs in facts.dependents.items()},
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


@pytest.mark.slow
@settings(max_examples=amount(gate=6, chaos=200))
@given(edits=EDITS)
async def test_all_stores_answer_alike(
    empty_store: EmptyStore, edits: list[tuple[list[model.Resource], str, bool]]
) -> None:
    store, memory = await empty_store(), MemoryRegistryStore()
    for resources, apply_set, prune in [(REFERRED_TO, "s", False), *edits]:
        assert await edit(store, resources, apply_set, prune) == await edit(
            memory, resources, apply_set, prune
        )
        assert await store.read(everything) == await memory.read(everything)


async def test_watchers_are_notified_of_versions_only(database_url: str) -> None:
    notifier = LocalNotifier()
    with notifier.signal(SNAPSHOT_CHANNEL) as signal:
        async with opened(database_url, notifier) as store:
            # given a store that on PostgreSQL has begun to listen, of which it notifies
            assert database_url.startswith("sqlite") or await signal.wait(10)

            # when an edit is refused, when one is done, and when only a mark changes
            notified = []
            for resources, mark in ((a_pool()[1:], ""), (a_pool(), ""), (a_pool(), "marked")):
                await edit(store, resources, mark, prune=False)
                notified.append(await signal.wait(0))

    # then
    assert notified == [False, True, False]


def a_pool() -> list[model.Resource]:
    return [
        model.Provider("p", model.BuiltinAdapter()),
        model.Model("m", "p", "u"),
        model.ModelPool("mp", (model.PoolMember("m"),)),
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

        head = await store.initialise(incarnation)

    assert (head.version, head.incarnation) == (2, "in-memory")
