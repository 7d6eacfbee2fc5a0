"""What a request needs, against what models declare: over gRPC, for pools and for models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from tests.contract.router.router_under_test import RouterUnderTest, builtin, model, pool

PICTURE = content.Message(
    role=content.MESSAGE_ROLE_USER,
    parts=[content.Part(image=content.Image(url="http://image.example"))],
)
SCHEMA = provider.JsonSchemaFormat(name="n", json_schema="{}")
TEXT, IMAGE = reg.MODALITY_TEXT, reg.MODALITY_IMAGE

# By what is missing: a request that needs it, and a model with it, without it, and undeclared.
NEEDS: Mapping[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "tools": (
        {"tools": [content.ToolDefinition(tool_id="look")]},
        {
            "true": {"capabilities": reg.ModelCapabilities(tools=True)},
            "false": {"capabilities": reg.ModelCapabilities(json_object=True)},
            "undeclared": {"modalities": [TEXT]},
        },
    ),
    "images": (
        {"messages": [PICTURE]},
        {
            "true": {"capabilities": reg.ModelCapabilities(), "modalities": [TEXT, IMAGE]},
            "false": {"capabilities": reg.ModelCapabilities(tools=True)},
            "undeclared": {"modalities": [TEXT]},
        },
    ),
    "json_object": (
        {"response_format": provider.ResponseFormat(json_object=provider.JsonObjectFormat())},
        {
            "true": {"capabilities": reg.ModelCapabilities(json_object=True)},
            "false": {"capabilities": reg.ModelCapabilities(json_schema=True)},
            "undeclared": {},
        },
    ),
    "json_schema": (
        {"response_format": provider.ResponseFormat(json_schema=SCHEMA)},
        {
            "true": {"capabilities": reg.ModelCapabilities(json_schema=True)},
            "false": {"capabilities": reg.ModelCapabilities(json_object=True)},
            "undeclared": {},
        },
    ),
    "context_window": (
        {"text": "x" * 800},
        {
            "true": {"context_window": 100, "capabilities": reg.ModelCapabilities()},
            "false": {"context_window": 99, "capabilities": reg.ModelCapabilities()},
            "undeclared": {"capabilities": reg.ModelCapabilities()},
        },
    ),
}


def declared(model_id: str, **fields: Any) -> reg.Resource:
    resource = model(model_id, "script")
    resource.model.MergeFrom(reg.Model(**fields))
    return resource


async def ask(running: RouterUnderTest, target_id: str, request: dict[str, Any]) -> Any:
    rest = dict(request)
    text = [rest.pop("text")] if "text" in rest else []
    if "messages" not in rest:
        return await running.infer(target_id, *text, **rest)
    return await running.infer_messages(target_id, **rest)


@pytest.mark.parametrize("missing", NEEDS)
async def test_only_what_is_declared_missing_keeps_a_request_from_a_model(
    running: RouterUnderTest, missing: str
) -> None:
    """Every way to declare it, for the model itself and for a pool with a second member."""
    # given
    request, ways = NEEDS[missing]
    models = [declared(way, **fields) for way, fields in ways.items()]
    pools = [pool(f"with-{way}", way, failover_only=["spare"]) for way in ways]
    await running.apply(builtin("script"), model("spare", "script"), *models, *pools)

    # when
    answers = {way: await ask(running, way, request) for way in ways}
    from_pools = {way: await ask(running, f"with-{way}", request) for way in ways}

    # then the model that declares it missing is not called
    members = {way: answer.members for way, answer in answers.items()}
    assert members == {"true": ["true"], "false": [], "undeclared": ["undeclared"]}
    members = {way: answer.members for way, answer in from_pools.items()}
    assert members == {"true": ["true"], "false": ["spare"], "undeclared": ["undeclared"]}
    refused = answers["false"]
    assert refused.code_and_reason == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "NO_CAPABLE_MEMBER",
    )
    assert refused.failure.metadata["target_id"] == "false"
    assert json.loads(refused.failure.metadata["missing"]) == {"false": [missing]}
    skips = [
        [(skip.member_id, skip.reason, skip.detail) for skip in answer.decision.skipped]
        for answer in (refused, from_pools["false"])
    ]
    assert skips == [[("false", pb.SKIP_REASON_INCAPABLE, missing)]] * 2


async def test_a_pool_names_what_is_missing_of_every_member(running: RouterUnderTest) -> None:
    # given a member that lacks one thing, and one that lacks two
    able = reg.ModelCapabilities(tools=True)
    await running.apply(
        builtin("script"),
        declared("blind", capabilities=able),
        declared("mute", capabilities=reg.ModelCapabilities()),
        pool("both", "blind", "mute"),
    )

    # when
    answer = await running.infer_messages(
        "both", messages=[PICTURE], tools=[content.ToolDefinition(tool_id="look")]
    )

    # then
    assert answer.failure.code == grpc.StatusCode.FAILED_PRECONDITION
    assert json.loads(answer.failure.metadata["missing"]) == {
        "blind": ["images"],
        "mute": ["tools", "images"],
    }
    assert answer.failure.message == (
        "no member of 'both' can do what the request needs (blind: images; mute: tools, images)"
    )
