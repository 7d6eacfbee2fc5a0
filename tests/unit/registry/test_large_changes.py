"""What a large apply computes before it holds the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from services.chassis.errors import InvalidRequestError
from services.registry.api.resources.codec import ProtobufCodec
from services.registry.core.changes.publishing import Action, content_of, contents_of
from services.registry.core.model import Agent, BuiltinAdapter, Model, Provider, Resource
from services.registry.core.ports import Tx
from services.registry.core.rules.validating import Submitted
from tests.support.memory_registry import MemoryRegistryStore
from tests.support.registry_use_cases import UseCases

T = TypeVar("T")

PROVIDER = Provider("p", BuiltinAdapter())
MODEL = Model("m", "p", "upstream")
AGENTS = [Agent(f"a{number:03}", "m") for number in range(450)]
ILLEGAL = replace(AGENTS[250], max_rounds=0)


class WatchedCodec(ProtobufCodec):
    """Counts what is encoded while a transaction holds the head."""

    def __init__(self) -> None:
        self.is_writing = False
        self.encoded_in_writes = 0

    def encode(self, resource: Resource) -> bytes:
        self.encoded_in_writes += self.is_writing
        return super().encode(resource)


class WatchedStore(MemoryRegistryStore):
    def __init__(self, codec: WatchedCodec) -> None:
        super().__init__()
        self._codec = codec

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._codec.is_writing = True
        try:
            return await super().write(fn)
        finally:
            self._codec.is_writing = False


def submitted(*resources: Resource) -> list[Submitted]:
    return [Submitted(f"r[{number}]", each) for number, each in enumerate(resources)]


@pytest.mark.parametrize(
    ("resources", "prepared"),
    [
        (AGENTS[:200], 0),
        (AGENTS[:201], 201),
        (AGENTS, 450),
        ([*AGENTS[:250], ILLEGAL, *AGENTS[251:]], 250),
        ([*AGENTS[:400], replace(AGENTS[400], id="a\n"), *AGENTS[401:]], 400),
    ],
    ids=["few", "many", "more than at once", "up to an illegal one", "up to an illegal id"],
)
async def test_contents_are_computed_of_many_legal_resources(
    resources: list[Agent], prepared: int
) -> None:
    codec = ProtobufCodec()
    found = await contents_of(submitted(*resources), codec)
    assert found == {one.ref: content_of(one, codec) for one in resources[:prepared]}


async def test_a_large_apply_encodes_nothing_while_it_holds_the_head() -> None:
    # given a registry without agents
    codec = WatchedCodec()
    use_cases = UseCases(WatchedStore(codec), codec)
    await use_cases.apply(PROVIDER, MODEL)
    codec.encoded_in_writes = 0

    # when many are applied, twice, and then with a change
    made = await use_cases.apply(*AGENTS)
    same = await use_cases.apply(*AGENTS)
    changed = await use_cases.apply(*(replace(each, max_rounds=3) for each in AGENTS))

    # then all of it was computed before
    assert codec.encoded_in_writes == 0
    assert (made.version, same.version, changed.version) == (3, 3, 4)
    assert {one.action for one in made.changes} == {Action.CREATED}
    assert {one.action for one in same.changes} == {Action.UNCHANGED}
    assert {one.action for one in changed.changes} == {Action.UPDATED}


async def test_a_large_apply_with_a_mistake_is_refused_as_a_small_one_is() -> None:
    use_cases = UseCases(MemoryRegistryStore(), ProtobufCodec())
    await use_cases.apply(PROVIDER, MODEL)
    with pytest.raises(InvalidRequestError) as large:
        await use_cases.apply(*AGENTS[:250], ILLEGAL, *AGENTS[251:])
    with pytest.raises(InvalidRequestError) as small:
        await use_cases.apply(ILLEGAL)
    assert [one.description for one in large.value.violations] == [
        one.description for one in small.value.violations
    ]
