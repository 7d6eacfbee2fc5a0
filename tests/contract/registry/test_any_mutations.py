"""Whatever is done in whatever order, in a database: the snapshot stays valid."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from services.registry.api.resources import ProtobufCodec
from tests.contract.registry.databases import Databases, opened
from tests.support.registry_bench import Bench
from tests.support.registry_machine import AnyMutations

T = TypeVar("T")


def over(databases: Databases) -> type[AnyMutations]:
    """The machine over databases of one engine, a new one for each sequence."""

    class OverDatabase(AnyMutations):
        def open_bench(self) -> Bench:
            self.folder, self.stack = ExitStack(), AsyncExitStack()
            url = self.folder.enter_context(databases())
            self.runner = self.folder.enter_context(asyncio.Runner())
            store = self.wait(self.stack.enter_async_context(opened(url)))
            return Bench(store, ProtobufCodec())

        def wait(self, work: Coroutine[Any, Any, T]) -> T:
            return self.runner.run(work)

        def teardown(self) -> None:
            self.wait(self.stack.aclose())
            self.folder.close()

    return OverDatabase


def test_any_mutations_leave_a_valid_snapshot(databases: Databases) -> None:
    few = settings(max_examples=12, stateful_step_count=15)
    run_state_machine_as_test(over(databases), settings=few)
