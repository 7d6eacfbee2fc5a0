"""A field of the registry is read by the service that it is for, or left unread on purpose.

Each message has the fields that the consumer reads, and those that it does not read yet.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TypeAlias

import pytest
from google.protobuf.descriptor import Descriptor

from runyard.registry.v1 import registry_pb2 as pb
from tests.arch.project import ROOT, parsed

Fields: TypeAlias = Mapping[str, tuple[str, str]]

ROUTER: Fields = {
    "AnthropicAdapter": ("api_version betas headers", ""),
    "BuiltinAdapter": ("steps delta_interval", ""),
    "BuiltinFault": ("kind retry_after after_deltas text", ""),
    "BuiltinReply": ("text tool_calls reasoning", ""),
    "BuiltinStep": ("matches tool_results upstream_model reply fault", ""),
    "BuiltinToolCall": ("tool_id arguments_json", ""),
    "CredentialRef": ("env file", ""),
    "GrpcAdapter": ("transport authority", ""),
    "HttpHeader": ("name value value_ref", ""),
    "Model": (
        (
            "id provider_id upstream_model context_window max_output_tokens modalities "
            "capabilities cache_ttl prices"
        ),
        "knowledge_cutoff",
    ),
    "ModelCapabilities": ("tools json_object json_schema reasoning", "parallel_tool_calls"),
    "ModelPool": ("id members routing switch stickiness retry clocks mid_stream breaker", ""),
    "ModelPrices": (
        (
            "currency input_per_million output_per_million "
            "cache_read_per_million cache_write_per_million"
        ),
        "",
    ),
    "OpenAiAdapter": ("organization project token_limit_field stream_usage headers query", ""),
    "PoolBreaker": ("failure_threshold cooldown half_open_max", ""),
    "PoolClocks": ("first_chunk idle total", ""),
    "PoolMember": ("model_id weight role", ""),
    "PoolRetry": ("in_place", ""),
    "PoolRouting": ("home sticky_scope", ""),
    "PoolStickiness": ("pin_ttl return_home", ""),
    "PoolSwitch": (
        (
            "on_circuit_open on_quota on_permanent on_retry_exhausted "
            "quota_retry_after_threshold max_switches_per_session"
        ),
        "",
    ),
    "Provider": ("id builtin openai anthropic grpc base_url credential_ref timeout", ""),
    "QueryParameter": ("name value", ""),
}
RUN_CONTROL: Fields = {
    "Agent": (
        (
            "id model_id system_prompt tools "
            "approval_rules max_rounds max_total_tokens sampling endpoint"
        ),
        "",
    ),
    "AgentEndpoint": ("", "base_url credential_ref timeout"),
    "ApprovalRule": ("tool_id approval approval_timeout", ""),
    "CredentialRef": ("", "env file"),
    "Sampling": ("temperature top_p max_output_tokens stop seed reasoning_effort", ""),
    "Tool": (
        "id description json_schema effect_class approval builtin worker timeout approval_timeout",
        "",
    ),
    "WorkerExecutor": ("label", ""),
}
CONSUMERS = [
    pytest.param("services/router/clients/snapshot.py", ROUTER, id="router"),
    pytest.param("services/runcontrol/clients/registry.py", RUN_CONTROL, id="runcontrol"),
]
RESOURCES = {"router": ("Provider", "Model", "ModelPool"), "runcontrol": ("Agent", "Tool")}


def fields_of(*names: str) -> set[str]:
    """``Tool.id`` for every field of the messages and of all that they hold."""
    found: dict[str, set[str]] = {}

    def visit(message: Descriptor) -> None:
        if message.file is pb.DESCRIPTOR and message.name not in found:
            found[message.name] = {f"{message.name}.{field}" for field in message.fields_by_name}
            for field in message.fields:
                if field.message_type is not None:
                    visit(field.message_type)

    for name in names:
        visit(pb.DESCRIPTOR.message_types_by_name[name])
    return set().union(*found.values())


def names_used(file: str) -> set[str]:
    """Attributes, texts and keywords in the code of ``file``."""
    found = set()
    for node in ast.walk(parsed(ROOT / file)):
        match node:
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.Constant(value=str(name)):
                found.add(name)
    return found


@pytest.mark.parametrize(("file", "fields"), CONSUMERS)
def test_every_field_is_read_or_left_on_purpose(file: str, fields: Fields) -> None:
    listed = {
        f"{message}.{field}"
        for message, (read, left) in fields.items()
        for field in f"{read} {left}".split()
    }
    assert listed == fields_of(*RESOURCES[file.split("/")[1]])


@pytest.mark.parametrize(("file", "fields"), CONSUMERS)
def test_what_is_listed_as_read_is_named_where_it_is_read(file: str, fields: Fields) -> None:
    read = {field for names, _ in fields.values() for field in names.split()}
    assert read - names_used(file) == set()
