"""The content model to and from ``runyard.types.v1``: pure, total over every enum and part.

Decoding collects violations with the path of the field, so that a servicer can report all of a
request's mistakes at once. Only ``api`` and ``clients`` rooms may import this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from runyard.types.v1 import content_pb2 as pb
from services.chassis.protobuf.decoder import Decoder
from services.chassis.protobuf.enums import EnumTable
from services.chassis.slices import give_way
from services.content.model import (
    MAX_INLINE_IMAGE_BYTES,
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

ROLES = EnumTable(pb.MessageRole, "MESSAGE_ROLE", Role)
FINISH_REASONS = EnumTable(pb.FinishReason, "FINISH_REASON", FinishReason)
USAGE_SOURCES = EnumTable(pb.UsageSource, "USAGE_SOURCE", UsageSource)
EFFECT_CLASSES = EnumTable(pb.EffectClass, "EFFECT_CLASS", EffectClass)
APPROVALS = EnumTable(pb.Approval, "APPROVAL", Approval)

_COST = re.compile(r"[0-9]{1,16}(\.[0-9]{1,12})?")

# Where a part may stand; any other would be lost on the way to a provider.
ROLES_OF_PART: Mapping[str, frozenset[Role]] = {
    "text": frozenset({Role.SYSTEM, Role.USER, Role.ASSISTANT}),
    "image": frozenset({Role.SYSTEM, Role.USER, Role.ASSISTANT}),
    "tool_call": frozenset({Role.ASSISTANT}),
    "tool_result": frozenset({Role.TOOL}),
    "reasoning": frozenset({Role.ASSISTANT}),
}


def message_from_pb(message: pb.Message, field: str, decoder: Decoder) -> Message | None:
    """Decode a message; None if anything is wrong with it."""
    before = len(decoder.found)
    role = decoder.required_enum(ROLES, message.role, f"{field}.role")
    decoder.not_empty(message.parts, f"{field}.parts")
    parts = [_part_from_pb(p, f"{field}.parts[{i}]", decoder) for i, p in enumerate(message.parts)]
    if message.role in ROLES.from_pb:
        _check_places(message.parts, role, field, decoder)
    if len(decoder.found) > before:
        return None
    return Message(role, tuple(part for part in parts if part is not None))


def messages_from_pb(
    messages: Iterable[pb.Message], field: str, decoder: Decoder
) -> tuple[Message, ...]:
    decoded = []
    for index, message in enumerate(messages):
        give_way()
        made = _texts_alone(message)
        decoded.append(made or message_from_pb(message, f"{field}[{index}]", decoder))
    return tuple(message for message in decoded if message is not None)


def _texts_alone(message: pb.Message) -> Message | None:
    """A message that has texts alone, as most; of them a prompt may have thousands.

    None for any other: only what may be wrong needs the names of its fields.
    """
    role = ROLES.from_pb.get(message.role)
    if role not in ROLES_OF_PART["text"]:
        return None
    texts = []
    for part in message.parts:
        if part.WhichOneof("part") != "text":
            return None
        texts.append(Text(part.text.text))
    return Message(role, tuple(texts)) if texts else None


def _check_places(parts: Iterable[pb.Part], role: Role, field: str, decoder: Decoder) -> None:
    for index, part in enumerate(parts):
        kind = part.WhichOneof("part")
        if kind is not None and role not in ROLES_OF_PART[kind]:
            allowed = " or ".join(sorted(each.value for each in ROLES_OF_PART[kind]))
            decoder.wrong(
                f"{field}.parts[{index}].{kind}",
                f"belongs to a message of role {allowed}, not {role.value}",
            )


def _part_from_pb(part: pb.Part, field: str, decoder: Decoder) -> Part | None:
    match part.WhichOneof("part"):
        case "text":
            return Text(part.text.text)
        case "image":
            return _image_from_pb(part.image, f"{field}.image", decoder)
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
            decoder.wrong(
                field, "must set one of text, image, tool_call, tool_result and reasoning"
            )
            return None


def _image_from_pb(image: pb.Image, field: str, decoder: Decoder) -> Image | None:
    if not image.url and not image.data:
        decoder.wrong(field, "must set url or data")
        return None
    if image.data and not image.media_type:
        decoder.wrong(f"{field}.media_type", "must be set for inline data")
        return None
    if len(image.data) > MAX_INLINE_IMAGE_BYTES:
        decoder.wrong(
            f"{field}.data",
            f"is {len(image.data):,} bytes, at most {MAX_INLINE_IMAGE_BYTES:,} go inline; "
            "send larger images by url",
        )
        return None
    return Image(url=image.url, data=image.data, media_type=image.media_type)


def message_to_pb(message: Message) -> pb.Message:
    give_way()
    parts = [part_to_pb(part) for part in message.parts]
    return pb.Message(role=ROLES.to_pb[message.role], parts=parts)


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
    """Decode; a source this version does not know counts as estimated, the weaker claim, and what
    is no decimal number as no cost.
    """
    cost = usage.cost if _COST.fullmatch(usage.cost) else ""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        source=USAGE_SOURCES.from_pb.get(usage.source, UsageSource.ESTIMATED),
        cost=cost,
        currency=usage.currency if cost else "",
    )


def usage_to_pb(usage: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        source=USAGE_SOURCES.to_pb[usage.source],
        cost=usage.cost,
        currency=usage.currency,
    )
