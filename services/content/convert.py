"""The content model to and from ``runyard.types.v1``: pure, total over every enum and part.

Decoding collects violations with the path of the field, so that a servicer can report all of a
request's mistakes at once. Only ``api`` and ``clients`` rooms may import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TypeVar

from runyard.types.v1 import content_pb2 as pb
from services.chassis.errors import Violation
from services.content.model import (
    Approval,
    EffectClass,
    FinishReason,
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageSource,
)

MAX_INLINE_IMAGE_BYTES = 1 << 20

E = TypeVar("E", bound=Enum)
N = TypeVar("N", bound=int)

ROLE_FROM_PB: Mapping[pb.MessageRole, Role] = {
    pb.MESSAGE_ROLE_SYSTEM: Role.SYSTEM,
    pb.MESSAGE_ROLE_USER: Role.USER,
    pb.MESSAGE_ROLE_ASSISTANT: Role.ASSISTANT,
    pb.MESSAGE_ROLE_TOOL: Role.TOOL,
}
FINISH_REASON_FROM_PB: Mapping[pb.FinishReason, FinishReason] = {
    pb.FINISH_REASON_STOP: FinishReason.STOP,
    pb.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    pb.FINISH_REASON_TOOL_CALLS: FinishReason.TOOL_CALLS,
    pb.FINISH_REASON_CONTENT_FILTER: FinishReason.CONTENT_FILTER,
}
USAGE_SOURCE_FROM_PB: Mapping[pb.UsageSource, UsageSource] = {
    pb.USAGE_SOURCE_PROVIDER: UsageSource.PROVIDER,
    pb.USAGE_SOURCE_ESTIMATED: UsageSource.ESTIMATED,
}
EFFECT_CLASS_FROM_PB: Mapping[pb.EffectClass, EffectClass] = {
    pb.EFFECT_CLASS_PURE: EffectClass.PURE,
    pb.EFFECT_CLASS_IDEMPOTENT: EffectClass.IDEMPOTENT,
    pb.EFFECT_CLASS_RECONCILABLE: EffectClass.RECONCILABLE,
    pb.EFFECT_CLASS_AT_MOST_ONCE: EffectClass.AT_MOST_ONCE,
}
APPROVAL_FROM_PB: Mapping[pb.Approval, Approval] = {
    pb.APPROVAL_ALLOW: Approval.ALLOW,
    pb.APPROVAL_ASK: Approval.ASK,
    pb.APPROVAL_DENY: Approval.DENY,
}

# Where a part may stand; any other would be lost on the way to a provider.
ROLES_OF_PART: Mapping[str, frozenset[Role]] = {
    "text": frozenset({Role.SYSTEM, Role.USER, Role.ASSISTANT}),
    "image": frozenset({Role.SYSTEM, Role.USER, Role.ASSISTANT}),
    "tool_call": frozenset({Role.ASSISTANT}),
    "tool_result": frozenset({Role.TOOL}),
    "reasoning": frozenset({Role.ASSISTANT}),
}


def inverse(table: Mapping[N, E]) -> Mapping[E, N]:
    """The table that encodes what ``table`` decodes."""
    return {value: number for number, value in table.items()}


ROLE_TO_PB = inverse(ROLE_FROM_PB)
FINISH_REASON_TO_PB = inverse(FINISH_REASON_FROM_PB)
USAGE_SOURCE_TO_PB = inverse(USAGE_SOURCE_FROM_PB)
EFFECT_CLASS_TO_PB = inverse(EFFECT_CLASS_FROM_PB)
APPROVAL_TO_PB = inverse(APPROVAL_FROM_PB)


def message_from_pb(message: pb.Message, field: str, found: list[Violation]) -> Message | None:
    """Decode a message; append what is wrong to ``found`` and answer None if anything is."""
    before = len(found)
    role = ROLE_FROM_PB.get(message.role)
    if role is None:
        found.append(Violation(f"{field}.role", f"is not a known role: {int(message.role)}"))
    if not message.parts:
        found.append(Violation(f"{field}.parts", "must have at least one part"))
    parts = [_part_from_pb(p, f"{field}.parts[{i}]", found) for i, p in enumerate(message.parts)]
    if role is not None:
        found.extend(_misplaced(message.parts, role, field))
    if role is None or len(found) > before:
        return None
    return Message(role, tuple(part for part in parts if part is not None))


def messages_from_pb(
    messages: Iterable[pb.Message], field: str, found: list[Violation]
) -> tuple[Message, ...]:
    decoded = [message_from_pb(m, f"{field}[{i}]", found) for i, m in enumerate(messages)]
    return tuple(message for message in decoded if message is not None)


def _misplaced(parts: Iterable[pb.Part], role: Role, field: str) -> Iterator[Violation]:
    for index, part in enumerate(parts):
        kind = part.WhichOneof("part")
        if kind is not None and role not in ROLES_OF_PART[kind]:
            allowed = " or ".join(sorted(each.value for each in ROLES_OF_PART[kind]))
            yield Violation(
                f"{field}.parts[{index}].{kind}",
                f"belongs to a message of role {allowed}, not {role.value}",
            )


def _part_from_pb(part: pb.Part, field: str, found: list[Violation]) -> Part | None:
    match part.WhichOneof("part"):
        case "text":
            return Text(part.text.text)
        case "image":
            return _image_from_pb(part.image, f"{field}.image", found)
        case "tool_call":
            call = part.tool_call
            return ToolCall(call.call_id, call.tool_id, call.arguments_json)
        case "tool_result":
            result = part.tool_result
            return ToolResult(result.call_id, result.content, result.is_error)
        case "reasoning":
            reasoning = part.reasoning
            return Reasoning(reasoning.text, reasoning.provider_id, reasoning.opaque_state)
        case _:
            found.append(
                Violation(
                    field, "must set one of text, image, tool_call, tool_result and reasoning"
                )
            )
            return None


def _image_from_pb(image: pb.Image, field: str, found: list[Violation]) -> Image | None:
    if not image.url and not image.data:
        found.append(Violation(field, "must set url or data"))
        return None
    if image.data and not image.media_type:
        found.append(Violation(f"{field}.media_type", "is required for inline data"))
        return None
    if len(image.data) > MAX_INLINE_IMAGE_BYTES:
        found.append(
            Violation(
                f"{field}.data",
                f"is {len(image.data)} bytes, at most {MAX_INLINE_IMAGE_BYTES} go inline; "
                "send larger images by url",
            )
        )
        return None
    return Image(url=image.url, data=image.data, media_type=image.media_type)


def message_to_pb(message: Message) -> pb.Message:
    parts = [part_to_pb(part) for part in message.parts]
    return pb.Message(role=ROLE_TO_PB[message.role], parts=parts)


def part_to_pb(part: Part) -> pb.Part:
    match part:
        case Text(text):
            return pb.Part(text=pb.Text(text=text))
        case Image(url, data, media_type):
            source = {"url": url} if url else {"data": data}
            return pb.Part(image=pb.Image(media_type=media_type, **source))
        case ToolCall(call_id, tool_id, arguments_json):
            return pb.Part(
                tool_call=pb.ToolCall(
                    call_id=call_id, tool_id=tool_id, arguments_json=arguments_json
                )
            )
        case ToolResult(call_id, content, is_error):
            return pb.Part(
                tool_result=pb.ToolResult(call_id=call_id, content=content, is_error=is_error)
            )
        case Reasoning(text, provider_id, opaque_state):
            return pb.Part(
                reasoning=pb.Reasoning(
                    text=text, provider_id=provider_id, opaque_state=opaque_state
                )
            )


def tool_definition_from_pb(tool: pb.ToolDefinition) -> ToolDefinition:
    return ToolDefinition(tool.tool_id, tool.description, tool.json_schema)


def tool_definition_to_pb(tool: ToolDefinition) -> pb.ToolDefinition:
    return pb.ToolDefinition(
        tool_id=tool.tool_id, description=tool.description, json_schema=tool.json_schema
    )


def usage_from_pb(usage: pb.Usage) -> Usage:
    """Decode; a source this version does not know counts as estimated, the weaker claim."""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        source=USAGE_SOURCE_FROM_PB.get(usage.source, UsageSource.ESTIMATED),
    )


def usage_to_pb(usage: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        source=USAGE_SOURCE_TO_PB[usage.source],
    )
