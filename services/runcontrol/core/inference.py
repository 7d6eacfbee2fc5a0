"""One model call: its request, the items of its stream, and the answer assembled from them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from services.content.assembling import PartialMessage
from services.content.model import (
    FinishReason,
    Message,
    Reasoning,
    ToolCall,
    ToolDefinition,
    Usage,
)
from services.runcontrol.core.events import Kind, ReasoningDelta, Routed, TextDelta
from services.runcontrol.core.limits import MAX_PROMPT_BYTES, MAX_PROMPT_MESSAGES
from services.runcontrol.core.model import Run, StoredMessage
from services.runcontrol.core.prompting import prompt
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.specs import Specs


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call as run control requests it; ``sampling`` is encoded options."""

    target_id: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...]
    sampling: str
    thread_id: str
    run_id: str
    agent_id: str
    min_registry_version: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """Another model starts the answer over: what was streamed so far does not count.

    Attributes:
        routed: Where the answer comes from now.
    """

    routed: Routed


@dataclass(frozen=True, slots=True)
class Finished:
    reason: FinishReason


Item = Routed | Restarted | TextDelta | Reasoning | ToolCall | Usage | Finished


class InferenceError(Exception):
    """The model call failed; ``failure`` says how the attempt ends."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure


class Models(Protocol):
    """The models of the router."""

    def infer(
        self, model_call: ModelCall
    ) -> AbstractAsyncContextManager[AsyncGenerator[Sequence[Item], None]]:
        """Start a model call and yield its items in batches; leaving the block cancels the call.

        Raises:
            InferenceError: The call failed; raised while iterating. A stream without an error
                ends with ``Finished``.
        """


# gRPC codes by name, as the table in the contract lists them.
_THROTTLED_REASONS = frozenset(
    {
        *("ALL_MEMBERS_UNAVAILABLE", "MEMBERS_EXHAUSTED", "SNAPSHOT_BEHIND", "SNAPSHOT_MISSING"),
        *("UPSTREAM_EXHAUSTED", "UPSTREAM_OVERLOADED", "TOO_MANY_CALLS"),
        "ROUTER_OVERLOADED",
    }
)
_ERROR_CODES = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "UNKNOWN", "CANCELLED"}
)
# Of UPSTREAM_FAILED, in its metadata: the provider is away, and no answer of it was bad.
_OUTAGES = frozenset(
    {"server_error", "timeout_connect", "timeout_first_chunk", "overloaded", "circuit_open"}
)


def classify(code: str, reason: str, failure: str, *, answered: bool) -> RetryClass:
    """The retry class for a status of ``Infer``.

    RESOURCE_EXHAUSTED without a reason that the router gives is gRPC's own word for a message that
    is too large, which every repeat would be.

    Args:
        code: That of gRPC, by name.
        reason: The router's; "" when another has made the status.
        failure: The class of the failure of the model that ended the call; "" when none did.
        answered: Whether a part of the answer had been received.
    """
    if reason in _THROTTLED_REASONS:
        return RetryClass.THROTTLED
    if reason == "UPSTREAM_FAILED" and failure in _OUTAGES and not answered:
        return RetryClass.THROTTLED
    return RetryClass.ERROR if code in _ERROR_CODES else RetryClass.FATAL


def too_large(size_bytes: int, messages: int) -> Failure | None:
    """Why the router cannot read a request of that size; None when it can."""
    for what, size, most in (
        ("bytes", size_bytes, MAX_PROMPT_BYTES),
        ("messages", messages, MAX_PROMPT_MESSAGES),
    ):
        if size > most:
            text = f"the prompt has {size:,} {what}, at most {most:,} can be sent"
            hint = "continue on a new thread"
            return Failure(RetryClass.FATAL, "PROMPT_TOO_LARGE", f"{text}; {hint}")
    return None


def model_call_for(run: Run, specs: Specs, record: Sequence[StoredMessage]) -> ModelCall:
    """The request with the prompt that the record of the run's thread makes."""
    agent = specs.agent
    return ModelCall(
        target_id=agent.target_id,
        messages=prompt(record, run.run_id, agent.system_prompt),
        tools=tuple(ToolDefinition(t.tool_id, t.description, t.json_schema) for t in specs.tools),
        sampling=agent.sampling,
        thread_id=run.thread_id,
        run_id=run.run_id,
        agent_id=run.agent_id,
        min_registry_version=run.registry_version,
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """The answer received so far; ``finish_reason`` is set once it is complete."""

    content: PartialMessage = field(default_factory=PartialMessage)
    usage: Usage = field(default_factory=Usage)
    model_id: str = ""
    finish_reason: FinishReason | None = None

    def add(self, item: Item) -> Draft:
        match item:
            case Routed():
                changed = replace(self, model_id=item.model_id)
            case Restarted(routed):
                changed = Draft(model_id=routed.model_id)
            case TextDelta(text):
                changed = replace(self, content=self.content.add_text(text))
            case Reasoning():
                changed = replace(self, content=self.content.add_reasoning(item))
            case ToolCall():
                changed = replace(self, content=self.content.add_call(item))
            case Usage():
                changed = replace(self, usage=item)
            case Finished(reason):
                changed = replace(self, finish_reason=reason)
            case never:
                assert_never(never)
        return changed

    def message(self) -> Message:
        return self.content.message()


def event_of(item: Item) -> Kind | None:
    """The event that subscribers get for an item; None when they get none."""
    match item:
        case Routed() | TextDelta():
            return item
        case Restarted(routed):
            return routed
        case Reasoning(text) if text:
            return ReasoningDelta(text)
        case _:
            return None


def coalesce(kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """Join adjacent deltas of the same kind, which saves rows and keeps the text."""
    joined: list[Kind] = []
    for kind in kinds:
        last = joined[-1] if joined else None
        if isinstance(kind, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + kind.text)
        elif isinstance(kind, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + kind.text)
        else:
            joined.append(kind)
    return tuple(joined)
