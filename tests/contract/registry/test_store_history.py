"""The past in the store of each engine beside the model of dictionaries: the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.caller import LOCAL_PRINCIPAL, Caller
from services.chassis.errors import DomainError
from services.registry.api.resources.codec import ProtobufCodec
from services.registry.core.history.auditing import FIRST_REF, AuditPage, AuditQuery
from services.registry.core.history.hashing import hashes_of
from services.registry.core.history.history import DiffQuery
from services.registry.core.history.retaining import RetentionPolicy
from services.registry.core.history.rolling_back import RollbackCommand
from services.registry.core.model import Resource
from services.registry.core.ports import Reads, Tx
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import ChangeKey, Span, VersionFilter
from services.registry.engine.retention import Retention
from tests.contract.registry.databases import EmptyStore
from tests.support.clock import START
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.profiles import amount
from tests.support.registry_strategies import EVERY_REF, REFERRED_TO, agents, models, pools, tools
from tests.support.registry_use_cases import UseCases, command

FILTERS = [
    VersionFilter(),
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
    max_size=amount(gate=5, chaos=8),
)


class Steps(UseCases):
    """The use cases on one store, a second apart."""

    async def step(self, step: Step) -> object:
        self.clock.advance(1)
        try:
            return await self._step(step)
        except DomainError as error:
            return error.reason, error.violations, error.metadata

    async def _step(self, step: Step) -> object:
        match step:
            case Edit(resources, apply_set, prune, actor):
                edit = command(resources, apply_set=apply_set, prune=prune)
                return await self.applier.apply(_by(actor, "/Apply"), edit)
            case Rollback(back):
                version = max(1, (await self.head()).version - back)
                return await self.history.rollback(
                    _by("ann", "/Rollback"), RollbackCommand(version)
                )
            case Retire(keep):
                keeping = RetentionPolicy(keep, timedelta())
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


def _by(actor: str, method: str) -> Caller:
    return Caller(replace(LOCAL_PRINCIPAL, name=actor), method)


def _hash_two(tx: Tx) -> Mapping[int, bytes]:
    hashes = hashes_of(tx, tx.unhashed(2))
    tx.save_hashes({**hashes, 1_000_000: b"of a version that is gone"})
    return hashes


def past(reads: Reads) -> dict[str, object]:
    """The answer to every question about the past."""
    head = reads.head()
    kept = range(head.oldest_version, head.version + 1)
    pairs = [(older, newer) for older in kept for newer in kept if older <= newer]
    middle = ChangeKey(head.version - 1, Ref(Kind.MODEL, "b"))
    top = ChangeKey(head.version + 1, FIRST_REF)
    return {
        "head": head,
        "published": [reads.published(which, head.version - 1, 3) for which in FILTERS],
        "first": reads.oldest_published(2),
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


@pytest.mark.slow
@settings(max_examples=amount(gate=3, chaos=300))
@given(steps=STEPS)
async def test_all_stores_tell_the_past_alike(
    empty_store: EmptyStore, steps: Sequence[Step]
) -> None:
    real, model = (
        Steps(store, ProtobufCodec()) for store in (await empty_store(), MemoryRegistryStore())
    )
    for step in [Edit(REFERRED_TO, "s", False, "ann"), *steps]:
        assert await real.step(step) == await model.step(step)
        assert await real.store.read(past) == await model.store.read(past)
    for which, kind, id_ in product(FILTERS, (None, Kind.AGENT), ("", "a")):
        query = AuditQuery(kind, id_, which, limit=3)
        assert await real.audit(query) == await model.audit(query)
    versions = [await each.history.versions(None, 3) for each in (real, model)]
    assert versions[0] == versions[1]
    head = await real.head()
    backwards = DiffQuery(head.version, head.oldest_version, None, 2)
    assert await real.history.diff(backwards) == await model.history.diff(backwards)
