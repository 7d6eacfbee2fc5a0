"""Every rule that a resource can break on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.registry.core.agent_rules import agent_violations, tool_violations
from services.registry.core.model import Agent, Model, ModelPool, Provider, Resource, Tool
from services.registry.core.model_rules import model_violations, pool_violations
from services.registry.core.provider_rules import provider_violations


def field_violations(resource: Resource, field: str) -> Iterator[Violation]:
    """Everything that is wrong with ``resource``, found at the path ``field``."""
    yield from id_violations(resource.id, f"{field}.id")
    match resource:
        case Provider():
            yield from provider_violations(resource, field)
        case Model():
            yield from model_violations(resource, field)
        case ModelPool():
            yield from pool_violations(resource, field)
        case Agent():
            yield from agent_violations(resource, field)
        case Tool():
            yield from tool_violations(resource, field)
        case _:
            assert_never(resource)
