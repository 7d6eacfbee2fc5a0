"""Encodes a prompt as a request of ``runyard.provider.v1``."""

from __future__ import annotations

from collections.abc import Iterator

from runyard.provider.v1 import provider_pb2 as pb
from runyard.provider.v1 import provider_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.protobuf.enums import EnumTable
from services.content.convert import message_to_pb, tool_definition_to_pb
from services.content.model import Message, Reasoning, ReasoningEffort, Sampling
from services.router.core.ports import UpstreamCall
from services.router.core.request import JsonObject, JsonSchema, ToolChoice, ToolChoiceMode

EFFORTS = EnumTable(pb.ReasoningEffort, "REASONING_EFFORT", ReasoningEffort)
MODES = EnumTable(pb.ToolChoiceMode, "TOOL_CHOICE_MODE", ToolChoiceMode)


def infer_request(call: UpstreamCall) -> rpc.InferRequest:
    """Every field of the prompt; reasoning of other providers is left out."""
    prompt = call.prompt
    return rpc.InferRequest(
        upstream_model=call.member.model.upstream_model,
        messages=_messages(prompt.messages, call.member.provider.id),
        tools=map(tool_definition_to_pb, prompt.tools),
        tool_choice=_tool_choice(prompt.tool_choice),
        sampling=_sampling(prompt.sampling),
        response_format=_response_format(prompt.response_format),
        cache_key=call.cache_key,
    )


def _messages(messages: tuple[Message, ...], provider_id: str) -> Iterator[content.Message]:
    for message in messages:
        parts = [part for part in message.parts if not _is_foreign(part, provider_id)]
        if parts:
            yield message_to_pb(Message(message.role, tuple(parts)))


def _is_foreign(part: object, provider_id: str) -> bool:
    return isinstance(part, Reasoning) and part.provider_id != provider_id


def _tool_choice(choice: ToolChoice) -> pb.ToolChoice:
    return pb.ToolChoice(mode=MODES.to_pb[choice.mode], tool_id=choice.tool_id)


def _sampling(sampling: Sampling) -> pb.Sampling:
    effort = sampling.reasoning_effort
    return pb.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_output_tokens=sampling.max_output_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
        reasoning_effort=None if effort is None else EFFORTS.to_pb[effort],
    )


def _response_format(wanted: JsonObject | JsonSchema | None) -> pb.ResponseFormat | None:
    match wanted:
        case None:
            return None
        case JsonObject():
            return pb.ResponseFormat(json_object=pb.JsonObjectFormat())
        case JsonSchema(name, json_schema, strict):
            schema = pb.JsonSchemaFormat(name=name, json_schema=json_schema, strict=strict)
            return pb.ResponseFormat(json_schema=schema)
