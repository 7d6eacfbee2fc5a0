"""Large changes are judged before they are applied, by facts that are read in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from services.chassis.errors import Violation
from services.registry.core.changes import applying
from services.registry.core.changes.applying import judge, judge_ahead
from services.registry.core.model import Agent, BuiltinAdapter, Model, Provider
from services.registry.core.ports import Reads
from services.registry.core.rules.validating import Code
from services.registry.core.stored import ReferenceFacts
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_use_cases import UseCases, command

T = TypeVar("T")

PROVIDER = Provider("p", BuiltinAdapter())
MODEL, AGENT = Model("m", "p", "upstream"), Agent("a", "m")


class ChangingStore(MemoryRegistryStore):
    """Makes a version after each of the next ``changes`` reads."""

    changes = 0

    async def read(self, fn: Callable[[Reads], T]) -> T:
        found = await super().read(fn)
        if self.changes:
            self.changes -= 1
            number = self.tx.head().version
            await UseCases(self).apply(Provider(f"new-{number}", BuiltinAdapter()))
        return found


@pytest.fixture
async def use_cases() -> UseCases:
    made = UseCases(ChangingStore())
    await made.apply(PROVIDER, MODEL, AGENT, apply_set="team")
    return made


async def test_a_prune_is_judged_with_what_it_removes(use_cases: UseCases) -> None:
    ahead = await judge_ahead(use_cases.store, command([AGENT], apply_set="team", prune=True))
    assert set(ahead.removed) == {MODEL.ref, PROVIDER.ref}
    assert [one.code for one in ahead.verdict.found] == [Code.AGENT_MISSING_MODEL]


@pytest.mark.parametrize("changes", [0, 1, 2, 4, 1_000])
async def test_batches_of_different_versions_are_not_mixed(
    use_cases: UseCases, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    # given a registry that changes between the batches
    monkeypatch.setattr(applying, "MAX_TARGETS_AT_ONCE", 1)
    assert isinstance(use_cases.store, ChangingStore)
    use_cases.store.changes = changes

    # when a change with several references is judged
    ahead = await judge_ahead(use_cases.store, command([AGENT, MODEL]))
    use_cases.store.changes = 0

    # then the verdict belongs to a version that there was
    assert ahead.verdict.found == ()
    assert ahead.head.version <= (await use_cases.head()).version


def test_what_is_found_beyond_the_most_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MAX_DIAGNOSTICS", 2)
    agents = [Agent(f"a{number}", "m", max_rounds=-1) for number in range(5)]
    verdict = judge(command([PROVIDER, MODEL, *agents]), (), ReferenceFacts({}, {}))
    assert (len(verdict.found), verdict.omitted) == (2, 3)


def test_what_is_found_twice_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MAX_DIAGNOSTICS", 1)
    twice = (Violation("resources[0].agent", "is wrong"),) * 2
    verdict = judge(command([PROVIDER], unreadable=twice), (), ReferenceFacts({}, {}))
    assert (len(verdict.found), verdict.omitted) == (1, 0)
