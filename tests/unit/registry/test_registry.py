"""The use cases, and whatever is applied in whatever order: the snapshot stays valid."""

from __future__ import annotations

import pickle
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.chassis.caller import LOCAL_PRINCIPAL, Replay, RequestKey
from services.chassis.errors import DomainError, IdempotencyConflictError, InvalidRequestError
from services.registry.core.applying import Action, ApplyCommand, Mode
from services.registry.core.errors import ResourceNotFoundError, VersionNotFoundError
from services.registry.core.field_rules import field_violations
from services.registry.core.model import (
    Agent,
    BuiltinAdapter,
    Kind,
    Model,
    Provider,
    Ref,
    Resource,
)
from services.registry.core.normalising import normalised
from services.registry.core.ports import ListQuery, Origin, Stored
from services.registry.core.references import references
from services.registry.core.registry import Applied, Registry
from services.registry.core.validating import Submitted, Surroundings, diagnose
from services.registry.core.watching import NetChange, Part, read_part
from tests.support.clock import ManualClock
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_strategies import IDS, resources

T = TypeVar("T")

PROVIDER = Provider("p", BuiltinAdapter())
MODEL = Model("m", "p", "u")
EVERYTHING = ListQuery(None, "", None, 0)


class PickleCodec:
    def encode(self, resource: Resource) -> bytes:
        return pickle.dumps(resource)

    def decode(self, body: bytes) -> Resource:
        decoded: Resource = pickle.loads(body)  # noqa: S301  # what encode made
        return decoded


class Bench:
    """A registry over dictionaries."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryRegistryStore()
        self.codec = PickleCodec()
        self.registry = Registry(self.store, self.codec, pickle.dumps, self.clock)

    async def apply(self, *given: Resource, **fields: object) -> Applied:
        applied = await self.registry.apply(origin(), command(given, **fields))
        assert isinstance(applied, Applied)
        return applied

    def contents(self) -> dict[Ref, Resource]:
        sized = self.store.tx.listed(replace(EVERYTHING, limit=10_000))
        found = (self.store.tx.stored(each.ref) for each in sized)
        return {s.ref: self.codec.decode(s.body) for s in found if s}


def origin(key: str = "", digest: bytes = b"") -> Origin:
    request = RequestKey("default", "/Apply", key, digest) if key else None
    return Origin(LOCAL_PRINCIPAL, "/Apply", request)


def command(given: Iterable[Resource], **fields: object) -> ApplyCommand:
    submitted = tuple(Submitted(f"resources[{n}]", each) for n, each in enumerate(given))
    return ApplyCommand(submitted, **fields)  # type: ignore[arg-type]  # fields of the command


async def test_an_apply_is_recorded_with_its_time_and_author() -> None:
    # given
    bench = Bench()
    bench.clock.advance(60)

    # when somebody acts for somebody else
    acting = replace(LOCAL_PRINCIPAL, on_behalf_of="ada")
    await bench.registry.apply(Origin(acting, "/Apply"), command([PROVIDER]))

    # then
    found = await bench.registry.get(PROVIDER.ref)
    assert found.version == 2
    assert found.stored.updated_by == "ada"
    assert found.stored.updated_at == bench.clock.now()
    assert found.stored.since_version == 2
    assert bench.codec.decode(found.stored.body) == PROVIDER


async def test_a_repeat_is_answered_from_the_log() -> None:
    # given
    bench = Bench()
    first = await bench.registry.apply(origin("k", b"1"), command([PROVIDER]))

    # when
    again = await bench.registry.apply(origin("k", b"1"), command([PROVIDER]))

    # then
    assert isinstance(again, Replay)
    assert pickle.loads(again.body) == first  # noqa: S301  # what the bench made
    with pytest.raises(IdempotencyConflictError):
        await bench.registry.apply(origin("k", b"2"), command([MODEL]))


async def test_a_dry_run_remembers_nothing() -> None:
    # given a plan that removes one, changes one and keeps one
    bench = Bench()
    await bench.apply(PROVIDER, MODEL, replace(MODEL, id="n"), apply_set="s")
    changed = replace(MODEL, upstream_model="v")
    asked = command([PROVIDER, changed], apply_set="s", prune=True, dry_run=True)

    # when
    plan = await bench.registry.apply(origin("k", b"1"), asked)

    # then it is told and nothing is done
    assert isinstance(plan, Applied)
    assert plan.version == 3
    assert [(str(c.ref), c.action, len(c.fields)) for c in plan.changes] == [
        ("provider/p", Action.UNCHANGED, 0),
        ("model/m", Action.UPDATED, 1),
        ("model/n", Action.REMOVED, 6),
    ]
    assert bench.store.tx.head().version == 2
    assert len(bench.contents()) == 3
    repeated = await bench.registry.apply(origin("k", b"1"), replace(asked, dry_run=False))
    assert isinstance(repeated, Applied)


async def test_a_dry_run_that_changes_nothing_keeps_the_version() -> None:
    bench = Bench()
    await bench.apply(PROVIDER)

    plan = await bench.apply(PROVIDER, dry_run=True)

    assert plan.version == 2


async def test_an_unknown_resource_and_an_unknown_version_are_not_found() -> None:
    bench = Bench()

    with pytest.raises(ResourceNotFoundError):
        await bench.registry.get(Ref(Kind.AGENT, "nobody"))
    with pytest.raises(VersionNotFoundError) as caught:
        await bench.registry.snapshot_facts(2)

    assert caught.value.metadata == {"version": "2", "oldest": "1", "current": "1"}
    assert (await bench.registry.snapshot_facts(None)).version == 1
    assert (await bench.registry.snapshot_facts(1)).content_hash


async def test_a_listing_goes_on_where_a_page_ends() -> None:
    # given
    bench = Bench()
    await bench.apply(PROVIDER, MODEL, Agent("a", "m"))

    # when
    first = await bench.registry.list(replace(EVERYTHING, limit=2))
    second = await bench.registry.list(replace(EVERYTHING, limit=2, after=first.next_after))

    # then
    assert [s.ref for s in first.resources] == [PROVIDER.ref, MODEL.ref]
    assert [s.ref for s in second.resources] == [Ref(Kind.AGENT, "a")]
    assert second.next_after is None
    assert second.version == 2


async def test_parts_of_a_change_follow_each_other() -> None:
    # given two agents that do not fit into one part together
    bench = Bench()
    long = "x" * 50_000
    await bench.apply(PROVIDER, MODEL, apply_set="s")
    await bench.apply(*(Agent(id_, "m", system_prompt=long) for id_ in "ab"))

    # when
    change = NetChange(2, 3)
    first = read_part(bench.store.tx, change, None)
    second = read_part(bench.store.tx, change, first.next_after)

    # then
    assert names(first) == ["agent/a"]
    assert names(second) == ["agent/b"]
    assert second.next_after is None


async def test_a_part_names_what_is_gone() -> None:
    bench = Bench()
    await bench.apply(PROVIDER, apply_set="s")
    await bench.apply(apply_set="s", prune=True)

    part = read_part(bench.store.tx, NetChange(2, 3), None)

    assert part == Part([PROVIDER.ref], None)


def names(part: Part) -> list[str]:
    return [str(item.ref if isinstance(item, Stored) else item) for item in part.items]


def test_kinds_know_their_names_and_spaces() -> None:
    assert [kind.label for kind in Kind] == ["provider", "model", "model_pool", "agent", "tool"]
    assert Kind.MODEL.space is Kind.MODEL_POOL.space
    assert len({kind.space for kind in Kind}) == 4


def at_once(work: Coroutine[object, None, T]) -> T:
    """The result of what never waits: Hypothesis has no loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits for something")


class AnyApplies(RuleBasedStateMachine):
    """Whatever is applied in whatever order: every snapshot is valid, the rest is untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()

    @rule(
        given=st.lists(resources(), min_size=1, max_size=4),
        mode=st.sampled_from(Mode),
        apply_set=st.sampled_from(["", "s", "t"]),
        prune=st.booleans(),
    )
    def apply_anything(
        self, given: list[Resource], mode: Mode, apply_set: str, prune: bool
    ) -> None:
        self._apply(given, mode=mode, apply_set=apply_set, prune=prune)

    @rule(id_=st.sampled_from(IDS), given=st.lists(resources(), max_size=3))
    def apply_something_whole(self, id_: str, given: list[Resource]) -> None:
        """A chain that stands on its own, so that more than providers and tools get in."""
        chain: dict[Ref, Resource] = {Ref(Kind.PROVIDER, id_): Provider(id_, BuiltinAdapter())}
        chain[Ref(Kind.MODEL, id_)] = Model(id_, id_, "u", cache_ttl=timedelta(seconds=len(given)))
        chain |= {each.ref: each for each in given}
        self._apply(list(chain.values()))

    @precondition(lambda self: self.bench.contents())
    @rule(apply_set=st.sampled_from(["s", "t"]))
    def drop_a_set(self, apply_set: str) -> None:
        self._apply([], apply_set=apply_set, prune=True)

    def _apply(self, given: list[Resource], **fields: object) -> None:
        before, version = self.bench.contents(), self.bench.store.tx.head().version
        plan = self._outcome(given, dry_run=True, **fields)
        assert self.bench.contents() == before
        outcome = self._outcome(given, **fields)
        after, head = self.bench.contents(), self.bench.store.tx.head()
        if isinstance(outcome, DomainError):
            assert (after, head.version) == (before, version)
            assert type(plan) is type(outcome)
            assert isinstance(outcome, InvalidRequestError) == bool(outcome.violations)
            return
        assert isinstance(plan, Applied)
        assert [(c.ref, c.action) for c in plan.changes] == [
            (c.ref, c.action) for c in outcome.changes
        ]
        assert plan.version == outcome.version == head.version
        touched = {c.ref for c in outcome.changes if c.action is not Action.UNCHANGED}
        assert head.version == version + bool(touched)
        assert {ref: each for ref, each in after.items() if ref not in touched} == {
            ref: each for ref, each in before.items() if ref not in touched
        }
        assert {ref: after[ref] for ref in touched & after.keys()} == {
            each.ref: normalised(each) for each in given if each.ref in touched
        }

    def _outcome(self, given: list[Resource], **fields: object) -> Applied | DomainError:
        try:
            return at_once(self.bench.apply(*given, **fields))
        except DomainError as error:
            return error

    @invariant()
    def every_resource_is_legal_and_every_reference_met(self) -> None:
        """Checked from scratch, over everything, unlike the incremental rule under test."""
        contents = self.bench.contents()
        targets: dict[object, set[Kind]] = {}
        for ref in contents:
            targets.setdefault(ref.target, set()).add(ref.kind)
        around = Surroundings({t: frozenset(k) for t, k in targets.items()})  # type: ignore[misc]
        submitted = [Submitted(str(ref), each) for ref, each in contents.items()]
        assert diagnose(submitted, (), around) == []
        for each in contents.values():
            assert list(field_violations(each, "r")) == []
            assert all(one.target in targets for one in references(each))


TestAnyApplies = AnyApplies.TestCase
TestAnyApplies.settings = settings(stateful_step_count=12)
