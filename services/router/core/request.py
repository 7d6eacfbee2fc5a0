"""The command of a model call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.content.model import Message, Sampling, ToolDefinition
from services.router.core.model import Feature, MidStream
from services.router.core.session import Session

# Beyond it a caller gets an error that says when to repeat.
DEFAULT_WAIT_S = 10.0


class ToolChoiceMode(Enum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``tool_id`` is empty unless the mode is TOOL."""

    mode: ToolChoiceMode = ToolChoiceMode.AUTO
    tool_id: str = ""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    name: str
    json_schema: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to the model; the same for every member.

    Attributes:
        response_format: None is free text.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    sampling: Sampling = field(default_factory=Sampling)
    response_format: JsonObject | JsonSchema | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a prompt needs of a model.

    Attributes:
        input_tokens: The least that the prompt can have, an eighth of its characters.
    """

    features: frozenset[Feature] = frozenset()
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class InferCommand:
    """One call.

    Attributes:
        needs: Of ``prompt``, found when it was decoded: it may be large.
        min_registry_version: 0 accepts any version.
        min_registry_incarnation: Empty accepts any.
        mid_stream: None leaves it to the pool.
        max_attempts: None is unbounded.
        collected: The caller gets the answer whole.
        max_wait_s: For hints of members, together; 0 waits for none.
    """

    target_id: str
    prompt: Prompt
    session: Session = field(default_factory=Session)
    min_registry_version: int = 0
    mid_stream: MidStream | None = None
    max_attempts: int | None = None
    min_registry_incarnation: str = ""
    collected: bool = False
    needs: Needs = field(default_factory=Needs)
    max_wait_s: float = DEFAULT_WAIT_S
