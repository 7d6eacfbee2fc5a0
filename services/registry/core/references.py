"""What refers to what: the edges of a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from services.registry.core.agent_rules import ANY_TOOL
from services.registry.core.model import (
    Agent,
    Model,
    ModelPool,
    Provider,
    Resource,
    Space,
    Target,
    Tool,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One edge; ``path`` is the field that holds it, within its resource."""

    path: str
    target: Target


def references(resource: Resource) -> Iterator[Reference]:
    """Every reference that has to be met; a remote agent's model does not."""
    match resource:
        case Provider() | Tool():
            return
        case Model(provider_id=provider_id):
            yield Reference("provider_id", Target(Space.PROVIDERS, provider_id))
        case ModelPool(members=members):
            for index, member in enumerate(members):
                target = Target(Space.MODELS, member.model_id)
                yield Reference(f"members[{index}].model_id", target)
        case Agent():
            yield from _of_agent(resource)
        case _:
            assert_never(resource)


def _of_agent(agent: Agent) -> Iterator[Reference]:
    if agent.endpoint is None:
        yield Reference("model_id", Target(Space.MODELS, agent.model_id))
    for index, tool_id in enumerate(agent.tools):
        yield Reference(f"tools[{index}]", Target(Space.TOOLS, tool_id))
    for index, rule in enumerate(agent.approval_rules):
        if rule.tool_id != ANY_TOOL:
            path = f"approval_rules[{index}].tool_id"
            yield Reference(path, Target(Space.TOOLS, rule.tool_id))
