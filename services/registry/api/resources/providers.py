"""Providers to and from the wire."""

from __future__ import annotations

from datetime import timedelta

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, duration_to_pb, optional
from services.registry.api.enums import FAULTS, LIMIT_FIELDS, TRANSPORTS
from services.registry.core.model import (
    CALL_TIMEOUT,
    Adapter,
    AnthropicAdapter,
    BuiltinAdapter,
    BuiltinFault,
    BuiltinReply,
    BuiltinStep,
    BuiltinToolCall,
    CredentialRef,
    EnvCredential,
    FileCredential,
    GrpcAdapter,
    GrpcTransport,
    HttpHeader,
    OpenAiAdapter,
    Provider,
    QueryParameter,
    TokenLimitField,
)


def provider_from_pb(provider: pb.Provider, field: str, decoder: Decoder) -> Provider:
    # Without an adapter, which is noted, there is no telling what a base_url may be.
    base_url = provider.base_url if provider.WhichOneof("adapter") else ""
    return Provider(
        id=provider.id,
        adapter=_adapter_from_pb(provider, field, decoder),
        base_url=base_url,
        credential_ref=credential_from_pb(provider, "credential_ref", field, decoder),
        timeout=decoder.duration(provider, "timeout", field, CALL_TIMEOUT),
    )


def _adapter_from_pb(provider: pb.Provider, field: str, decoder: Decoder) -> Adapter:
    match provider.WhichOneof("adapter"):
        case "builtin":
            return _builtin_from_pb(provider.builtin, f"{field}.builtin", decoder)
        case "openai":
            return _openai_from_pb(provider.openai, f"{field}.openai", decoder)
        case "anthropic":
            return _anthropic_from_pb(provider.anthropic, f"{field}.anthropic", decoder)
        case "grpc":
            number = provider.grpc.transport
            transport = decoder.enum(
                TRANSPORTS, number, f"{field}.grpc.transport", GrpcTransport.TLS
            )
            return GrpcAdapter(transport, provider.grpc.authority)
        case _:
            decoder.wrong(field, "must set one of builtin, openai, anthropic and grpc")
            return BuiltinAdapter()


def credential_from_pb(
    holder: pb.Provider | pb.HttpHeader | pb.AgentEndpoint, name: str, field: str, decoder: Decoder
) -> CredentialRef | None:
    if not holder.HasField(name):
        return None
    ref: pb.CredentialRef = getattr(holder, name)
    match ref.WhichOneof("source"):
        case "env":
            return EnvCredential(ref.env)
        case "file":
            return FileCredential(ref.file)
        case _:
            decoder.wrong(f"{field}.{name}", "must set one of env and file")
            return None


def _builtin_from_pb(adapter: pb.BuiltinAdapter, field: str, decoder: Decoder) -> BuiltinAdapter:
    steps = (
        _step_from_pb(step, f"{field}.steps[{index}]", decoder)
        for index, step in enumerate(adapter.steps)
    )
    return BuiltinAdapter(
        tuple(steps), decoder.duration(adapter, "delta_interval", field, timedelta(0))
    )


def _step_from_pb(step: pb.BuiltinStep, field: str, decoder: Decoder) -> BuiltinStep:
    outcome: BuiltinReply | BuiltinFault
    match step.WhichOneof("outcome"):
        case "reply":
            outcome = _reply_from_pb(step.reply)
        case "fault":
            outcome = _fault_from_pb(step.fault, f"{field}.fault", decoder)
        case _:
            decoder.wrong(field, "must set one of reply and fault")
            outcome = BuiltinReply()
    results = optional(step, "tool_results", None)
    return BuiltinStep(outcome, step.matches, results, step.upstream_model)


def _reply_from_pb(reply: pb.BuiltinReply) -> BuiltinReply:
    calls = (BuiltinToolCall(call.tool_id, call.arguments_json) for call in reply.tool_calls)
    return BuiltinReply(reply.text, tuple(calls), reply.reasoning)


def _fault_from_pb(fault: pb.BuiltinFault, field: str, decoder: Decoder) -> BuiltinFault:
    return BuiltinFault(
        kind=decoder.required_enum(FAULTS, fault.kind, f"{field}.kind"),
        retry_after=decoder.duration(fault, "retry_after", field, None),
        after_deltas=fault.after_deltas,
        text=fault.text,
    )


def _openai_from_pb(adapter: pb.OpenAiAdapter, field: str, decoder: Decoder) -> OpenAiAdapter:
    return OpenAiAdapter(
        organization=adapter.organization,
        project=adapter.project,
        token_limit_field=decoder.enum(
            LIMIT_FIELDS,
            adapter.token_limit_field,
            f"{field}.token_limit_field",
            TokenLimitField.MAX_TOKENS,
        ),
        stream_usage=optional(adapter, "stream_usage", True),
        headers=_headers_from_pb(adapter, field, decoder),
        query=tuple(QueryParameter(each.name, each.value) for each in adapter.query),
    )


def _anthropic_from_pb(
    adapter: pb.AnthropicAdapter, field: str, decoder: Decoder
) -> AnthropicAdapter:
    headers = _headers_from_pb(adapter, field, decoder)
    default = AnthropicAdapter()
    version = adapter.api_version or default.api_version
    return AnthropicAdapter(version, tuple(adapter.betas), headers)


def _headers_from_pb(
    adapter: pb.OpenAiAdapter | pb.AnthropicAdapter, field: str, decoder: Decoder
) -> tuple[HttpHeader, ...]:
    headers = []
    for index, header in enumerate(adapter.headers):
        path = f"{field}.headers[{index}]"
        if header.WhichOneof("content") is None:
            decoder.wrong(path, "must set one of value and value_ref")
        value = header.value if header.HasField("value") else None
        ref = credential_from_pb(header, "value_ref", path, decoder)
        headers.append(HttpHeader(header.name, value, ref))
    return tuple(headers)


def provider_to_pb(provider: Provider) -> pb.Provider:
    message = pb.Provider(
        id=provider.id,
        base_url=provider.base_url,
        credential_ref=credential_to_pb(provider.credential_ref),
        timeout=duration_to_pb(provider.timeout),
    )
    match provider.adapter:
        case BuiltinAdapter() as adapter:
            message.builtin.CopyFrom(_builtin_to_pb(adapter))
        case OpenAiAdapter() as adapter:
            message.openai.CopyFrom(_openai_to_pb(adapter))
        case AnthropicAdapter(api_version, betas, headers):
            message.anthropic.CopyFrom(
                pb.AnthropicAdapter(
                    api_version=api_version, betas=betas, headers=map(_header_to_pb, headers)
                )
            )
        case GrpcAdapter(transport, authority):
            number = TRANSPORTS.to_pb[transport]
            message.grpc.CopyFrom(pb.GrpcAdapter(transport=number, authority=authority))
    return message


def credential_to_pb(ref: CredentialRef | None) -> pb.CredentialRef | None:
    match ref:
        case None:
            return None
        case EnvCredential(env):
            return pb.CredentialRef(env=env)
        case FileCredential(file):
            return pb.CredentialRef(file=file)


def _builtin_to_pb(adapter: BuiltinAdapter) -> pb.BuiltinAdapter:
    return pb.BuiltinAdapter(
        steps=map(_step_to_pb, adapter.steps),
        delta_interval=duration_to_pb(adapter.delta_interval),
    )


def _step_to_pb(step: BuiltinStep) -> pb.BuiltinStep:
    message = pb.BuiltinStep(
        matches=step.matches, tool_results=step.tool_results, upstream_model=step.upstream_model
    )
    match step.outcome:
        case BuiltinReply(text, tool_calls, reasoning):
            calls = [
                pb.BuiltinToolCall(tool_id=call.tool_id, arguments_json=call.arguments_json)
                for call in tool_calls
            ]
            reply = pb.BuiltinReply(text=text, tool_calls=calls, reasoning=reasoning)
            message.reply.CopyFrom(reply)
        case BuiltinFault(kind, retry_after, after_deltas, text):
            fault = pb.BuiltinFault(
                kind=FAULTS.to_pb[kind],
                retry_after=duration_to_pb(retry_after),
                after_deltas=after_deltas,
                text=text,
            )
            message.fault.CopyFrom(fault)
    return message


def _openai_to_pb(adapter: OpenAiAdapter) -> pb.OpenAiAdapter:
    number = LIMIT_FIELDS.to_pb[adapter.token_limit_field]
    return pb.OpenAiAdapter(
        organization=adapter.organization,
        project=adapter.project,
        token_limit_field=number,
        stream_usage=adapter.stream_usage,
        headers=map(_header_to_pb, adapter.headers),
        query=[pb.QueryParameter(name=each.name, value=each.value) for each in adapter.query],
    )


def _header_to_pb(header: HttpHeader) -> pb.HttpHeader:
    return pb.HttpHeader(
        name=header.name, value=header.value, value_ref=credential_to_pb(header.value_ref)
    )
