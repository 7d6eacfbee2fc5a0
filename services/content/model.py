"""Messages, their parts, tools and usage: pure values, mirrored by ``runyard.types.v1``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

# Of a message.
MAX_PARTS = 1_024
# Of a part.
MAX_TEXT_BYTES = 4 << 20
MAX_INLINE_IMAGE_BYTES = 1 << 20
MAX_MEDIA_TYPE_BYTES = 255
MAX_URL_CHARS = 16_384
# Of a tool.
MAX_DESCRIPTION_BYTES = 64 << 10
MAX_SCHEMA_BYTES = 256 << 10

_CHARS_PER_TOKEN = 4


class Role(Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image by URL or inline; exactly one of ``url`` and ``data`` is set.

    Attributes:
        data: At most 1 MiB.
        media_type: ``image/png`` and the like; required for inline data.
    """

    url: str = ""
    data: bytes = b""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for.

    Attributes:
        call_id: Chosen by the model or the adapter, unique within its message.
        arguments_json: The complete argument object as JSON text; validity is not promised.
    """

    call_id: str
    tool_id: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call came to, fed back to the model.

    Attributes:
        content: JSON or plain text.
        is_error: The call failed, was denied or cancelled; ``content`` says why.
    """

    call_id: str
    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Model reasoning that may have to be returned to the provider that made it.

    Attributes:
        text: Readable summary; may be empty.
        provider_id: The provider that alone can use ``opaque_state``.
        opaque_state: Signature or encrypted state, passed back unread.
    """

    text: str
    provider_id: str = ""
    opaque_state: bytes = b""


Part = Text | Image | ToolCall | ToolResult | Reasoning


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """What a model is told about a tool.

    Attributes:
        json_schema: JSON Schema of the argument object, as JSON text.
    """

    tool_id: str
    description: str
    json_schema: str


class ReasoningEffort(Enum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model draws; None leaves it to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning_effort: ReasoningEffort | None = None


class UsageSource(Enum):
    PROVIDER = "provider"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call.

    Attributes:
        input_tokens: Everything sent, cached tokens included.
        output_tokens: Everything produced, reasoning included.
        source: Whether the provider counted or we estimated.
        cost: A decimal string; empty when unknown.
        currency: Of ``cost``; empty without one.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_output_tokens: int = 0
    source: UsageSource = UsageSource.PROVIDER
    cost: str = ""
    currency: str = ""

    def plus(self, other: Usage) -> Usage:
        """The sum; its cost is unknown if one of them is, or if their currencies differ."""
        if Usage() in (self, other):
            return self if other == Usage() else other
        estimated = UsageSource.ESTIMATED in (self.source, other.source)
        known = self.cost and other.cost and self.currency == other.currency
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.cache_write_input_tokens + other.cache_write_input_tokens,
            self.reasoning_output_tokens + other.reasoning_output_tokens,
            UsageSource.ESTIMATED if estimated else UsageSource.PROVIDER,
            f"{(Decimal(self.cost) + Decimal(other.cost)).normalize():f}" if known else "",
            self.currency if known else "",
        )


def estimated_tokens(chars: int) -> int:
    """For ``UsageSource.ESTIMATED``, by the usual ratio in western text; rounded up."""
    return -(-chars // _CHARS_PER_TOKEN)


class FinishReason(Enum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class EffectClass(Enum):
    """What re-running a tool call means; decides what a lost worker leads to."""

    PURE = "pure"
    IDEMPOTENT = "idempotent"
    RECONCILABLE = "reconcilable"
    AT_MOST_ONCE = "at_most_once"


class Approval(Enum):
    """Whether a tool call needs a person's consent, from lax to strict by ``strictness``."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        return (Approval.ALLOW, Approval.ASK, Approval.DENY).index(self)
