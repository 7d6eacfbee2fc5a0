"""How large the fields of a request may be."""

from __future__ import annotations

from runyard.router.v1 import router_service_pb2 as rpc
from services.chassis.protobuf.sizes import ID, PAGE_TOKEN, Sizes, characters, entries, size_bytes
from services.content.model import MAX_SCHEMA_BYTES
from services.content.sizes import MESSAGES, TOOLS
from services.router.core.limits import (
    MAX_ENTRIES,
    MAX_MESSAGES,
    MAX_SCHEMA_NAME_CHARS,
    MAX_STOP_CHARS,
    MAX_STOPS,
    MAX_TOOLS,
)
from services.router.core.session import MAX_NAME_BYTES

SIZES = Sizes(
    (
        rpc.CordonMemberRequest,
        rpc.ExplainRequest,
        rpc.GenerateRequest,
        rpc.GetRoutingStateRequest,
        rpc.InferRequest,
        rpc.ResetMemberRequest,
        rpc.UncordonMemberRequest,
        rpc.UnpinSessionRequest,
        rpc.WatchRoutingStateRequest,
    ),
    {
        **MESSAGES,
        **TOOLS,
        "InferRequest.target_id": ID,
        "InferRequest.messages": entries(MAX_MESSAGES),
        "InferRequest.tools": entries(MAX_TOOLS),
        "InferRequest.min_registry_incarnation": ID,
        "GetRoutingStateRequest.target_id": ID,
        "GetRoutingStateRequest.page_token": PAGE_TOKEN,
        "ResetMemberRequest.target_id": ID,
        "ResetMemberRequest.member_id": ID,
        "CordonMemberRequest.target_id": ID,
        "CordonMemberRequest.member_id": ID,
        "UncordonMemberRequest.target_id": ID,
        "UncordonMemberRequest.member_id": ID,
        "UnpinSessionRequest.pool_id": ID,
        "UnpinSessionRequest.session": size_bytes(MAX_NAME_BYTES),
        "WatchRoutingStateRequest.target_id": ID,
        "ToolChoice.tool_id": ID,
        "Sampling.stop": entries(MAX_STOPS),
        "Sampling.stop[]": characters(MAX_STOP_CHARS),
        "JsonSchemaFormat.name": characters(MAX_SCHEMA_NAME_CHARS),
        "JsonSchemaFormat.json_schema": size_bytes(MAX_SCHEMA_BYTES),
        "Session.thread_id": ID,
        "Session.run_id": ID,
        "Session.agent_id": ID,
        "Session.session_key": ID,
    },
    most_entries=MAX_ENTRIES,
)
