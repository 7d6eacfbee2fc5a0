"""Whatever is done in whatever order, over dictionaries: the snapshot stays valid."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from tests.support.registry_state_machine import AnyMutations
from tests.support.registry_use_cases import UseCases, at_once

pytestmark = pytest.mark.slow

T = TypeVar("T")


class OverDictionaries(AnyMutations):
    def open_use_cases(self) -> UseCases:
        return UseCases()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return at_once(work)


TestAnyMutations = OverDictionaries.TestCase
TestAnyMutations.settings = settings(stateful_step_count=20)
