"""The specifications of an agent and its tools, which a run is pinned to when it is submitted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol

from services.content.model import Approval, EffectClass

# Of an attempt by a worker.
DEFAULT_TIMEOUT_S = 60.0


class Builtin(Enum):
    """The tools that run control executes itself."""

    POOL_JOIN = "pool_join"
    POOL_SEND = "pool_send"
    POOL_CHECK = "pool_check"
    POOL_RESPOND = "pool_respond"
    POOL_WAIT = "pool_wait"
    ASK_HUMAN = "ask_human"
    START_RUN = "start_run"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool.

    Attributes:
        builtin: The built-in tool; None for a tool of a worker.
        version: The registry's content hash of the tool; an approval is bound to it.
        label: What a worker must have announced; "" for any worker.
        timeout_s: Of one attempt by a worker.
        approval_timeout_s: How long a call waits for an approval; 0 = for ever.
        denied_by: The newer registry version that denies it; 0 = none. Never pinned.
    """

    tool_id: str
    description: str
    json_schema: str
    effect_class: EffectClass
    approval: Approval
    builtin: Builtin | None
    version: str = ""
    label: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    approval_timeout_s: float = 0.0
    denied_by: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """The approval that an agent requires of a tool; the tool id ``*`` matches every tool.

    Attributes:
        approval_timeout_s: How long a call waits for an approval; 0 = for ever.
    """

    tool_id: str
    approval: Approval
    approval_timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent.

    Attributes:
        target_id: A model or a model pool; the router resolves it at every call.
        sampling: Encoded sampling options, passed to the router unchanged.
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
    """An agent and its tools."""

    agent: AgentSpec
    tools: tuple[ToolSpec, ...]

    def tool(self, tool_id: str) -> ToolSpec | None:
        return next((tool for tool in self.tools if tool.tool_id == tool_id), None)

    def require(self, tool_id: str) -> ToolSpec:
        """The tool of a call that was gated, and therefore names one of these tools.

        Raises:
            LookupError: The agent has no such tool.
        """
        tool = self.tool(tool_id)
        if tool is None:
            raise LookupError(f"the pinned specification has no tool {tool_id}")
        return tool

    def digest(self) -> bytes:
        """SHA-256 of the content."""
        return _digest_of(_Same(self))


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Specifications by identity: comparing their content takes as long as the digest."""

    specs: Specs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.specs is self.specs

    def __hash__(self) -> int:
        return id(self.specs)


# Every run of an agent has the same ones, until the registry changes.
@lru_cache(maxsize=1_024)
def _digest_of(same: _Same) -> bytes:
    plain = json.dumps(
        asdict(same.specs), sort_keys=True, default=lambda e: e.value, separators=(",", ":")
    )
    return hashlib.sha256(plain.encode()).digest()


class Catalog(Protocol):
    """The registry snapshot in use."""

    @property
    def version(self) -> int: ...

    def specs(self, agent_id: str) -> Specs | None:
        """The agent with its tools; None when there is no such agent."""

    def denies(self, agent_id: str, tool_id: str) -> bool:
        """Whether the tool, or the agent's first rule that matches it, is DENY."""
