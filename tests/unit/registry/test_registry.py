"""The use cases of resources: applies, repeats, dry runs, reads, deletes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL, Caller, Replay
from services.chassis.errors import IdempotencyConflictError, InvalidRequestError
from services.registry.core import errors
from services.registry.core.changes.applying import Applied
from services.registry.core.changes.deleting import DeleteCommand
from services.registry.core.changes.publishing import Action
from services.registry.core.model import Agent, BuiltinAdapter, Model, Provider
from services.registry.core.refs import Kind, Ref
from services.registry.core.registry import Deleted
from services.registry.core.rules.validating import Code
from services.registry.core.stored import Stored
from services.registry.core.watching import NetChange, Part, read_part
from tests.support.callers import LOCAL, keyed
from tests.support.registry_use_cases import EVERYTHING, UseCases, command

PROVIDER = Provider("p", BuiltinAdapter())
MODEL = Model("m", "p", "u")


async def test_an_apply_is_recorded_with_its_time_and_author() -> None:
    # given
    use_cases = UseCases()
    use_cases.clock.advance(60)

    # when somebody acts for somebody else
    acting = replace(LOCAL_PRINCIPAL, on_behalf_of="ada")
    await use_cases.applier.apply(Caller(acting, "/Apply"), command([PROVIDER]))

    # then
    found = await use_cases.registry.get(PROVIDER.ref)
    assert found.version == 2
    assert found.stored.updated_by == "ada"
    assert found.stored.updated_at == use_cases.clock.now()
    assert found.stored.since_version == 2
    assert use_cases.codec.decode(found.stored.body) == PROVIDER


async def test_a_repeat_is_answered_from_the_log() -> None:
    # given
    use_cases = UseCases()
    first = await use_cases.applier.apply(keyed(LOCAL, "k", b"1"), command([PROVIDER]))

    # when
    again = await use_cases.applier.apply(keyed(LOCAL, "k", b"1"), command([PROVIDER]))

    # then
    assert isinstance(again, Replay)
    assert pickle.loads(again.body) == first  # noqa: S301  # what the use_cases made
    with pytest.raises(IdempotencyConflictError):
        await use_cases.applier.apply(keyed(LOCAL, "k", b"2"), command([MODEL]))


async def test_a_dry_run_remembers_nothing() -> None:
    # given a plan that removes one, changes one and keeps one
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL, replace(MODEL, id="n"), apply_set="s")
    changed = replace(MODEL, upstream_model="v")
    asked = command([PROVIDER, changed], apply_set="s", prune=True, dry_run=True)

    # when
    plan = await use_cases.applier.apply(keyed(LOCAL, "k", b"1"), asked)

    # then it is told and nothing is done
    assert isinstance(plan, Applied)
    assert plan.version == 3
    assert [(str(c.ref), c.action, len(c.fields)) for c in plan.changes] == [
        ("provider/p", Action.UNCHANGED, 0),
        ("model/m", Action.UPDATED, 1),
        ("model/n", Action.REMOVED, 6),
    ]
    assert (await use_cases.head()).version == 2
    assert len(await use_cases.contents()) == 3
    repeated = await use_cases.applier.apply(keyed(LOCAL, "k", b"1"), replace(asked, dry_run=False))
    assert isinstance(repeated, Applied)


async def test_a_dry_run_that_changes_nothing_keeps_the_version() -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER)

    plan = await use_cases.apply(PROVIDER, dry_run=True)

    assert plan.version == 2


async def test_an_unknown_resource_and_an_unknown_version_are_not_found() -> None:
    use_cases = UseCases()

    with pytest.raises(errors.ResourceNotFoundError):
        await use_cases.registry.get(Ref(Kind.AGENT, "nobody"))
    with pytest.raises(errors.VersionNotFoundError) as caught:
        await use_cases.registry.snapshot_facts(2)

    assert caught.value.metadata == {"version": "2", "oldest": "1", "current": "1"}
    assert (await use_cases.registry.snapshot_facts(None)).version == 1
    assert (await use_cases.registry.snapshot_facts(1)).content_hash


async def test_a_listing_goes_on_where_a_page_ends() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL, Agent("a", "m"))

    # when
    first = await use_cases.registry.list(replace(EVERYTHING, limit=2))
    second = await use_cases.registry.list(replace(EVERYTHING, limit=2, after=first.next_after))

    # then
    assert [s.ref for s in first.resources] == [PROVIDER.ref, MODEL.ref]
    assert [s.ref for s in second.resources] == [Ref(Kind.AGENT, "a")]
    assert second.next_after is None
    assert second.version == 2


async def test_parts_of_a_change_follow_each_other() -> None:
    # given two agents that do not fit into one part together
    use_cases = UseCases()
    long = "x" * 50_000
    await use_cases.apply(PROVIDER, MODEL, apply_set="s")
    await use_cases.apply(*(Agent(id_, "m", system_prompt=long) for id_ in "ab"))

    # when
    change = NetChange(2, 3)
    first = await use_cases.store.read(lambda reads: read_part(reads, change, None))
    assert first is not None
    second = await use_cases.store.read(lambda reads: read_part(reads, change, first.next_after))

    # then
    assert second is not None
    assert names(first) == ["agent/a"]
    assert names(second) == ["agent/b"]
    assert second.next_after is None


async def test_a_part_names_what_is_gone() -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, apply_set="s")
    await use_cases.apply(apply_set="s", prune=True)

    part = await use_cases.store.read(lambda reads: read_part(reads, NetChange(2, 3), None))

    assert part == Part([PROVIDER.ref], None)


def names(part: Part) -> list[str]:
    return [str(item.ref if isinstance(item, Stored) else item) for item in part.items]


def test_kinds_know_their_names_and_spaces() -> None:
    assert [kind.label for kind in Kind] == ["provider", "model", "model_pool", "agent", "tool"]
    assert Kind.MODEL.space is Kind.MODEL_POOL.space
    assert len({kind.space for kind in Kind}) == 4


async def test_what_nothing_refers_to_is_deleted() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL)
    before = await use_cases.stored()

    # when
    answer = await use_cases.registry.delete(LOCAL, DeleteCommand(MODEL.ref, expected_version=2))

    # then
    assert answer == Deleted(3, "in-memory")
    assert await use_cases.stored() == {PROVIDER.ref: before[PROVIDER.ref]}


async def test_what_is_in_use_stays() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL)
    before = await use_cases.stored()

    # when
    with pytest.raises(errors.ResourceInUseError):
        await use_cases.registry.delete(LOCAL, DeleteCommand(PROVIDER.ref))
    with pytest.raises(errors.VersionMismatchError):
        await use_cases.registry.delete(LOCAL, DeleteCommand(MODEL.ref, expected_version=1))

    # then
    assert await use_cases.stored() == before


async def test_a_validation_says_what_an_apply_would_and_writes_nothing() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(PROVIDER)
    asked = command([replace(PROVIDER, base_url="https://h"), replace(MODEL, provider_id="q")])

    # when
    validated = await use_cases.applier.validate(asked)
    with pytest.raises(InvalidRequestError) as caught:
        await use_cases.applier.apply(LOCAL, asked)

    # then
    assert validated.version == 2
    assert [(d.code, str(d.resource), str(d.depends_on)) for d in validated.verdict.found] == [
        (None, "provider/p", "None"),
        (Code.MODEL_MISSING_PROVIDER, "model/m", "provider/q"),
    ]
    assert tuple(one.violation() for one in validated.verdict.found) == caught.value.violations
    assert (await use_cases.head()).version == 2
