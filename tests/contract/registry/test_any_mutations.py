"""Any mutations in any order, in a database: the snapshot stays valid."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from services.registry.api.resources.codec import ProtobufCodec
from tests.contract.registry.databases import EmptyStore, emptied
from tests.support.profiles import amount, scaled
from tests.support.registry_state_machine import AnyMutations
from tests.support.registry_use_cases import UseCases

T = TypeVar("T")


def over(runner: asyncio.Runner, empty: EmptyStore) -> type[AnyMutations]:
    """The machine over one database, emptied for each sequence."""

    class OverDatabase(AnyMutations):
        def open_use_cases(self) -> UseCases:
            return UseCases(self.wait(empty()), ProtobufCodec())

        def wait(self, work: Coroutine[Any, Any, T]) -> T:
            return runner.run(work)

    return OverDatabase


@pytest.mark.slow
@scaled
@pytest.mark.parametrize(
    "shared_database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.chaos)],
    indirect=True,
)
def test_any_mutations_leave_a_valid_snapshot(shared_database: str) -> None:
    few = settings(max_examples=amount(gate=6, chaos=200), stateful_step_count=15)
    with asyncio.Runner() as runner:
        opened = emptied(shared_database)
        empty = runner.run(opened.__aenter__())
        try:
            run_state_machine_as_test(over(runner, empty), settings=few)
        finally:
            runner.run(opened.__aexit__(None, None, None))
