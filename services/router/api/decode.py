"""Requests to commands: collects every violation, then refuses once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.errors import InvalidRequestError, UnimplementedError, Violation
from services.chassis.ids import id_violations
from services.content.convert import messages_from_pb, tool_definition_from_pb
from services.content.model import Message, ReasoningEffort, Sampling, ToolDefinition
from services.router.core.model import MidStream
from services.router.core.request import (
    InferCommand,
    JsonObject,
    JsonSchema,
    Prompt,
    ToolChoice,
    ToolChoiceMode,
)
from services.router.core.session import Session

MAX_MESSAGES = 10_000
MAX_TOOLS = 1_000
MAX_STOPS = 16

MODE_FROM_PB: Mapping[int, ToolChoiceMode] = {
    provider.TOOL_CHOICE_MODE_UNSPECIFIED: ToolChoiceMode.AUTO,
    provider.TOOL_CHOICE_MODE_AUTO: ToolChoiceMode.AUTO,
    provider.TOOL_CHOICE_MODE_NONE: ToolChoiceMode.NONE,
    provider.TOOL_CHOICE_MODE_REQUIRED: ToolChoiceMode.REQUIRED,
    provider.TOOL_CHOICE_MODE_TOOL: ToolChoiceMode.TOOL,
}
EFFORT_FROM_PB: Mapping[int, ReasoningEffort | None] = {
    provider.REASONING_EFFORT_UNSPECIFIED: None,
    provider.REASONING_EFFORT_LOW: ReasoningEffort.LOW,
    provider.REASONING_EFFORT_MEDIUM: ReasoningEffort.MEDIUM,
    provider.REASONING_EFFORT_HIGH: ReasoningEffort.HIGH,
}
MID_STREAM_FROM_PB: Mapping[int, MidStream | None] = {
    pb.MID_STREAM_UNSPECIFIED: None,
    pb.MID_STREAM_INTERRUPT: MidStream.INTERRUPT,
    pb.MID_STREAM_RESTART: MidStream.RESTART,
}
T = TypeVar("T")

_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def infer_from_pb(request: rpc.InferRequest) -> InferCommand:
    """Decode a call.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
        UnimplementedError: It asks for what only the contract has so far.
    """
    found = id_violations(request.target_id, "target_id")
    tools = _tools(request.tools, found)
    command = InferCommand(
        target_id=request.target_id,
        prompt=Prompt(
            messages=_messages(request.messages, found),
            tools=tools,
            tool_choice=_tool_choice(request.tool_choice, tools, found),
            sampling=_sampling(request.sampling, found),
            response_format=_response_format(request.response_format, found),
        ),
        session=_session(request.session, found),
        min_registry_version=_at_least(
            request.min_registry_version, 0, "min_registry_version", found
        ),
        mid_stream=_known(MID_STREAM_FROM_PB, request.mid_stream, "mid_stream", found),
        max_attempts=_max_attempts(request, found),
    )
    if found:
        raise InvalidRequestError.of(found)
    if command.mid_stream is MidStream.RESTART:
        raise UnimplementedError("this version cannot start a broken stream over")
    return command


def _messages(messages: Sequence[content.Message], found: list[Violation]) -> tuple[Message, ...]:
    if not messages:
        found.append(Violation("messages", "must not be empty"))
    if len(messages) > MAX_MESSAGES:
        found.append(
            Violation(
                "messages", f"has {len(messages)} entries, at most {MAX_MESSAGES} are allowed"
            )
        )
        return ()
    return messages_from_pb(messages, "messages", found)


def _tools(
    tools: Sequence[content.ToolDefinition], found: list[Violation]
) -> tuple[ToolDefinition, ...]:
    if len(tools) > MAX_TOOLS:
        found.append(
            Violation("tools", f"has {len(tools)} entries, at most {MAX_TOOLS} are allowed")
        )
        return ()
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        field = f"tools[{index}]"
        found.extend(id_violations(tool.tool_id, f"{field}.tool_id"))
        if tool.tool_id in seen:
            found.append(Violation(f"{field}.tool_id", "is there twice"))
        seen.add(tool.tool_id)
        if tool.json_schema and not _is_json_object(tool.json_schema):
            found.append(Violation(f"{field}.json_schema", "must be a JSON object"))
    return tuple(tool_definition_from_pb(tool) for tool in tools)


def _tool_choice(
    choice: provider.ToolChoice, tools: Sequence[ToolDefinition], found: list[Violation]
) -> ToolChoice:
    mode = _known(MODE_FROM_PB, choice.mode, "tool_choice.mode", found)
    if mode is ToolChoiceMode.TOOL and choice.tool_id not in {tool.tool_id for tool in tools}:
        found.append(Violation("tool_choice.tool_id", "must be among tools"))
    if mode is not ToolChoiceMode.TOOL and choice.tool_id:
        found.append(Violation("tool_choice.tool_id", "belongs to mode TOOL_CHOICE_MODE_TOOL"))
    if mode is ToolChoiceMode.REQUIRED and not tools:
        found.append(Violation("tool_choice.mode", "requires a tool, and tools is empty"))
    return ToolChoice(mode or ToolChoiceMode.AUTO, choice.tool_id)


def _sampling(sampling: provider.Sampling, found: list[Violation]) -> Sampling:
    temperature = sampling.temperature if sampling.HasField("temperature") else None
    if temperature is not None and not 0 <= temperature <= 2:
        found.append(Violation("sampling.temperature", "must be between 0 and 2"))
    top_p = sampling.top_p if sampling.HasField("top_p") else None
    if top_p is not None and not 0 < top_p <= 1:
        found.append(Violation("sampling.top_p", "must be more than 0 and at most 1"))
    limit = sampling.max_output_tokens if sampling.HasField("max_output_tokens") else None
    if limit is not None:
        _at_least(limit, 1, "sampling.max_output_tokens", found)
    if len(sampling.stop) > MAX_STOPS or not all(sampling.stop):
        found.append(Violation("sampling.stop", f"takes at most {MAX_STOPS} texts, none empty"))
    effort = sampling.reasoning_effort
    return Sampling(
        temperature=temperature,
        top_p=top_p,
        max_output_tokens=limit,
        stop=tuple(sampling.stop),
        seed=sampling.seed if sampling.HasField("seed") else None,
        reasoning_effort=_known(EFFORT_FROM_PB, effort, "sampling.reasoning_effort", found),
    )


def _response_format(
    wanted: provider.ResponseFormat, found: list[Violation]
) -> JsonObject | JsonSchema | None:
    if wanted.WhichOneof("format") == "json_object":
        return JsonObject()
    if wanted.WhichOneof("format") is None:
        return None
    schema = wanted.json_schema
    field = "response_format.json_schema"
    if not _SCHEMA_NAME.fullmatch(schema.name):
        allowed = 'must be 1 to 64 letters, digits, "_" and "-"'
        found.append(Violation(f"{field}.name", allowed))
    if not _is_json_object(schema.json_schema):
        found.append(Violation(f"{field}.json_schema", "must be a JSON object"))
    return JsonSchema(schema.name, schema.json_schema, schema.strict)


def _session(session: pb.Session, found: list[Violation]) -> Session:
    """A blank value counts as absent; any other is an id."""
    values = {
        "thread_id": session.thread_id,
        "run_id": session.run_id,
        "agent_id": session.agent_id,
        "session_key": session.session_key,
    }
    for name, value in values.items():
        if value:
            found.extend(id_violations(value, f"session.{name}"))
    return Session(**values)


def _max_attempts(request: rpc.InferRequest, found: list[Violation]) -> int | None:
    if not request.HasField("max_attempts"):
        return None
    return _at_least(request.max_attempts, 1, "max_attempts", found)


def _at_least(value: int, least: int, field: str, found: list[Violation]) -> int:
    if value < least:
        found.append(Violation(field, f"must be at least {least}"))
    return value


def _known(table: Mapping[int, T], number: int, field: str, found: list[Violation]) -> T | None:
    if number not in table:
        found.append(Violation(field, f"is not a known value: {number}"))
    return table.get(number)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
