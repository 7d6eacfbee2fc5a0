"""The agent and its tools as a run uses them: copied at submit, by hash, and used to its end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Protocol

from services.content.model import Approval, EffectClass


class Builtin(Enum):
    """The tools that run control brings."""

    POOL_JOIN = "pool_join"
    POOL_SEND = "pool_send"
    POOL_CHECK = "pool_check"
    POOL_RESPOND = "pool_respond"
    POOL_WAIT = "pool_wait"
    ASK_HUMAN = "ask_human"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool.

    Attributes:
        builtin: What run control does itself; None for a tool of a worker.
        version: Changes with the tool's registered content; part of what an approval covers.
    """

    tool_id: str
    description: str
    json_schema: str
    effect_class: EffectClass
    approval: Approval
    builtin: Builtin | None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """An agent's rule about approvals; ``tool_id`` may be ``*``."""

    tool_id: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent.

    Attributes:
        target_id: A model or a model pool, resolved by the router at every call.
        sampling: Encoded sampling options, passed to the router unread.
        max_total_tokens: 0 = no limit.
    """

    agent_id: str
    target_id: str
    system_prompt: str
    tool_ids: tuple[str, ...]
    rules: tuple[Rule, ...]
    max_rounds: int
    max_total_tokens: int = 0
    sampling: str = ""


@dataclass(frozen=True, slots=True)
class Specs:
    """Everything a run is pinned to."""

    agent: AgentSpec
    tools: tuple[ToolSpec, ...]

    def tool(self, tool_id: str) -> ToolSpec | None:
        return next((tool for tool in self.tools if tool.tool_id == tool_id), None)

    def require(self, tool_id: str) -> ToolSpec:
        """The tool of a call that was judged to have one.

        Raises:
            LookupError: The specification does not name it.
        """
        tool = self.tool(tool_id)
        if tool is None:
            raise LookupError(f"the pinned specification has no tool {tool_id}")
        return tool

    def digest(self) -> bytes:
        """The same for the same content, whatever the process."""
        plain = json.dumps(
            asdict(self), sort_keys=True, default=lambda e: e.value, separators=(",", ":")
        )
        return hashlib.sha256(plain.encode()).digest()


class Catalog(Protocol):
    """The registry snapshot in use."""

    @property
    def version(self) -> int: ...

    def specs(self, agent_id: str) -> Specs | None:
        """The agent with its tools; None when there is no such agent."""


@dataclass(frozen=True, slots=True)
class StaticCatalog:
    """A catalog of given specifications."""

    version: int = 0
    agents: Mapping[str, Specs] = field(default_factory=dict)

    def specs(self, agent_id: str) -> Specs | None:
        return self.agents.get(agent_id)
