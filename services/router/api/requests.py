"""Requests to commands, with all violations in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.chassis.protobuf.decoder import Decoder, optional
from services.chassis.protobuf.pages import FIELD, page_position
from services.content.convert import (
    messages_from_pb,
    tool_definition_from_pb,
)
from services.content.model import Message, Sampling, ToolDefinition
from services.router.api.enums import EFFORTS, MID_STREAMS, MODES
from services.router.core.limits import LONGEST_WAIT, page_size, request_violations
from services.router.core.needs import needs_of
from services.router.core.pins import PinQuery
from services.router.core.request import (
    DEFAULT_WAIT_S,
    InferCommand,
    JsonObject,
    JsonSchema,
    Prompt,
    ToolChoice,
    ToolChoiceMode,
)
from services.router.core.session import KINDS, Session


def generate_from_pb(request: rpc.GenerateRequest) -> InferCommand:
    """As ``explain_from_pb``, for an answer that is collected."""
    return replace(explain_from_pb(request), collected=True)


def explain_from_pb(request: rpc.ExplainRequest | rpc.GenerateRequest) -> InferCommand:
    """As ``infer_from_pb``, with the fields named as this request has them."""
    if not request.HasField("request"):
        raise InvalidRequestError.of([Violation("request", "must be set")])
    try:
        return infer_from_pb(request.request)
    except InvalidRequestError as error:
        named = [replace(each, field=f"request.{each.field}") for each in error.violations]
        raise InvalidRequestError.of(named) from None


def infer_from_pb(request: rpc.InferRequest) -> InferCommand:
    """Decode a call.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
    """
    decoder = Decoder()
    prompt = _prompt(request, decoder)
    command = InferCommand(
        target_id=decoder.id(request.target_id, "target_id"),
        prompt=prompt,
        session=_session(request.session, decoder),
        min_registry_version=request.min_registry_version,
        min_registry_incarnation=decoder.optional_id(
            request.min_registry_incarnation, "min_registry_incarnation"
        ),
        mid_stream=decoder.enum(MID_STREAMS, request.mid_stream, "mid_stream", None),
        max_attempts=optional(request, "max_attempts", None),
        needs=needs_of(prompt),
        max_wait_s=_max_wait_s(request, decoder),
    )
    decoder.found.extend(request_violations(command))
    decoder.check()
    return command


def state_from_pb(request: rpc.GetRoutingStateRequest) -> PinQuery:
    """Decode a page of the state; its limit is one pin more, to detect a next page.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
    """
    decoder = Decoder()
    query = PinQuery(
        target_id=decoder.optional_id(request.target_id, "target_id"),
        after=page_position(request, _pin_at, decoder),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)) + 1,
    )
    decoder.check()
    return query


def watch_from_pb(request: rpc.WatchRoutingStateRequest) -> str:
    """Decode the target to watch; empty for all.

    Raises:
        InvalidRequestError: It is no id.
    """
    decoder = Decoder()
    target_id = decoder.optional_id(request.target_id, "target_id")
    decoder.check()
    return target_id


def reset_from_pb(request: rpc.ResetMemberRequest) -> tuple[str, str]:
    """Decode target and member; an empty member is every one.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
    """
    decoder = Decoder()
    target_id = decoder.id(request.target_id, "target_id")
    member_id = decoder.optional_id(request.member_id, "member_id")
    decoder.check()
    return target_id, member_id


def cordon_from_pb(
    request: rpc.CordonMemberRequest | rpc.UncordonMemberRequest,
) -> tuple[str, str]:
    """Decode target and member.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
    """
    decoder = Decoder()
    target_id = decoder.id(request.target_id, "target_id")
    member_id = decoder.id(request.member_id, "member_id")
    decoder.check()
    return target_id, member_id


def unpin_from_pb(request: rpc.UnpinSessionRequest) -> tuple[str, str]:
    """Decode pool and session.

    Raises:
        InvalidRequestError: Lists everything that is wrong with it.
    """
    decoder = Decoder()
    pool_id = decoder.id(request.pool_id, "pool_id")
    kind, _, named = request.session.partition(":")
    if kind in KINDS:
        decoder.id(named, "session")
    else:
        decoder.wrong("session", f"must begin with one of {', '.join(f'{k}:' for k in KINDS)}")
    decoder.check()
    return pool_id, request.session


def _pin_at(pool_id: str, session: str) -> tuple[str, str]:
    if id_violations(pool_id, FIELD) or not isinstance(session, str):
        raise ValueError(f"not a pin: {session!r}")
    return pool_id, session


def _prompt(request: rpc.InferRequest, decoder: Decoder) -> Prompt:
    return Prompt(
        messages=_messages(request.messages, decoder),
        tools=_tools(request.tools, decoder),
        tool_choice=_tool_choice(request.tool_choice, decoder),
        sampling=_sampling(request.sampling, decoder),
        response_format=_response_format(request.response_format),
    )


def _messages(messages: Sequence[content.Message], decoder: Decoder) -> tuple[Message, ...]:
    decoder.not_empty(messages, "messages")
    return messages_from_pb(messages, "messages", decoder)


def _tools(tools: Sequence[content.ToolDefinition], decoder: Decoder) -> tuple[ToolDefinition, ...]:
    for index, tool in enumerate(tools):
        decoder.id(tool.tool_id, f"tools[{index}].tool_id")
    return tuple(map(tool_definition_from_pb, tools))


def _tool_choice(choice: provider.ToolChoice, decoder: Decoder) -> ToolChoice:
    mode = decoder.enum(MODES, choice.mode, "tool_choice.mode", ToolChoiceMode.AUTO)
    return ToolChoice(mode, choice.tool_id)


def _sampling(sampling: provider.Sampling, decoder: Decoder) -> Sampling:
    effort = sampling.reasoning_effort
    return Sampling(
        temperature=optional(sampling, "temperature", None),
        top_p=optional(sampling, "top_p", None),
        max_output_tokens=optional(sampling, "max_output_tokens", None),
        stop=tuple(sampling.stop),
        seed=optional(sampling, "seed", None),
        reasoning_effort=decoder.enum(EFFORTS, effort, "sampling.reasoning_effort", None),
    )


def _response_format(wanted: provider.ResponseFormat) -> JsonObject | JsonSchema | None:
    match wanted.WhichOneof("format"):
        case "json_object":
            return JsonObject()
        case "json_schema":
            schema = wanted.json_schema
            return JsonSchema(schema.name, schema.json_schema, schema.strict)
        case _:
            return None


def _max_wait_s(request: rpc.InferRequest, decoder: Decoder) -> float:
    usual = timedelta(seconds=DEFAULT_WAIT_S)
    wait = decoder.duration(request, "max_wait", "", usual, least=timedelta(0), most=LONGEST_WAIT)
    return wait.total_seconds()


def _session(session: pb.Session, decoder: Decoder) -> Session:
    """Each value is empty or an id."""
    return Session(
        thread_id=decoder.optional_id(session.thread_id, "session.thread_id"),
        run_id=decoder.optional_id(session.run_id, "session.run_id"),
        agent_id=decoder.optional_id(session.agent_id, "session.agent_id"),
        session_key=decoder.optional_id(session.session_key, "session.session_key"),
    )
