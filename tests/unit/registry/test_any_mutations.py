"""Whatever is done in whatever order, over dictionaries: the snapshot stays valid."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings

from tests.support.registry_bench import Bench, at_once
from tests.support.registry_machine import AnyMutations

T = TypeVar("T")


class OverDictionaries(AnyMutations):
    def open_bench(self) -> Bench:
        return Bench()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return at_once(work)


TestAnyMutations = OverDictionaries.TestCase
TestAnyMutations.settings = settings(stateful_step_count=20)
