"""Errors over the wire: code, reason and facts of each."""

from __future__ import annotations

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.provider.v1 import provider_service_pb2 as prov_rpc
from runyard.provider.v1.provider_service_pb2_grpc import InferenceProviderServiceStub
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.rpc_status import reason_of
from tests.contract.router.world import (
    World,
    builtin,
    fault,
    home,
    limited_pool,
    model,
    openai,
    pool,
    request,
)
from tests.support.fake_provider import (
    FakeProvider,
    refusal,
)


async def test_a_version_that_does_not_come_is_refused(running: World) -> None:
    # when
    heard = await running.infer(request("m", min_registry_version=99))

    # then
    assert heard.error is not None
    assert (heard.error.code, heard.reason) == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_BEHIND")
    assert heard.error.retry_after_s is not None


async def test_a_rate_limit_surfaces_with_its_hint(running: World) -> None:
    # given a model called directly
    version = await running.apply(*limited_pool(30.0))

    # when
    heard = await running.infer(request("first", min_registry_version=version))

    # then
    assert heard.error is not None
    assert heard.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (heard.reason, heard.error.retry_after_s) == ("UPSTREAM_EXHAUSTED", 30.0)
    assert heard.error.metadata["member_id"] == "first"
    assert heard.members == ["first"]


KINDS = {
    "UNAUTHORIZED": (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    "INVALID_REQUEST": (grpc.StatusCode.INVALID_ARGUMENT, "UPSTREAM_INVALID_REQUEST"),
    "OVERLOADED": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_OVERLOADED"),
    "SERVER_ERROR": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"),
    "GARBAGE": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_failure_has_its_code_and_reason(running: World, kind: str) -> None:
    # given
    number = getattr(reg, f"BUILTIN_FAULT_KIND_{kind}")
    version = await running.apply(
        builtin("script", reg.BuiltinStep(fault=fault(number, text="because"))),
        model("m", "script"),
    )

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert heard.error is not None
    assert (heard.error.code, heard.reason) == KINDS[kind]
    assert ("because" in heard.error.message) == (kind == "INVALID_REQUEST")


async def test_exhausted_and_unavailable_tell_every_members_cause(running: World) -> None:
    # given a pool of two that are both limited
    step = reg.BuiltinStep(fault=fault(reg.BUILTIN_FAULT_KIND_RATE_LIMITED, 30.0))
    version = await running.apply(
        builtin("script", step),
        model("a", "script"),
        model("b", "script"),
        pool("p", home("a"), home("b")),
    )

    # when
    first = await running.infer(request("p", min_registry_version=version))
    second = await running.infer(request("p"))

    # then
    assert (first.reason, second.reason) == ("MEMBERS_EXHAUSTED", "ALL_MEMBERS_UNAVAILABLE")
    for heard in (first, second):
        assert heard.error is not None
        assert heard.error.code == grpc.StatusCode.UNAVAILABLE
        assert heard.error.retry_after_s is not None
        assert 25 < heard.error.retry_after_s <= 30
        assert '"a": ' in heard.error.metadata["causes"]
        assert '"b": ' in heard.error.metadata["causes"]
    assert sorted(first.members) == ["a", "b"]
    assert [s.reason for s in second.decision.skipped] == [pb.SKIP_REASON_QUOTA_DEADLINE] * 2
    assert second.members == []


async def test_an_unknown_target_is_not_found(running: World) -> None:
    # given
    version = await running.apply(builtin("script"))

    # when
    heard = await running.infer(request("nobody", min_registry_version=version))

    # then
    assert heard.error is not None
    assert (heard.error.code, heard.reason) == (grpc.StatusCode.NOT_FOUND, "TARGET_NOT_FOUND")


async def test_every_mistake_of_a_request_is_told_at_once(running: World) -> None:
    # given
    tool = content.ToolDefinition(tool_id="look", json_schema="[1]")
    wrong = rpc.InferRequest(
        target_id="",
        messages=[content.Message(role=content.MESSAGE_ROLE_USER)],
        tools=[tool, tool, content.ToolDefinition(tool_id="x", json_schema="{")],
        tool_choice=prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_TOOL, tool_id="other"),
        sampling=prov.Sampling(temperature=3, top_p=0, max_output_tokens=0, stop=[""]),
        response_format=prov.ResponseFormat(json_schema=prov.JsonSchemaFormat(name="a b")),
        session=pb.Session(thread_id="a\nb"),
        min_registry_version=-1,
        max_attempts=0,
    )

    # when
    heard = await running.infer(wrong)

    # then
    assert heard.error is not None
    assert heard.error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert sorted({violation.field for violation in heard.error.violations}) == [
        "max_attempts",
        "messages[0].parts",
        "min_registry_version",
        "response_format.json_schema.json_schema",
        "response_format.json_schema.name",
        "sampling.max_output_tokens",
        "sampling.stop",
        "sampling.temperature",
        "sampling.top_p",
        "session.thread_id",
        "target_id",
        "tool_choice.tool_id",
        "tools[0].json_schema",
        "tools[1].json_schema",
        "tools[1].tool_id",
        "tools[2].json_schema",
    ]


async def test_nothing_a_caller_says_is_logged(
    running: World, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    # given a provider that fails
    provider.always(refusal(500, {"error": {"message": "the internals"}}))
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when
    await running.infer(request("m", "my-private-question", min_registry_version=version))

    # then
    assert "my-private-question" not in caplog.text
    assert "the internals" not in caplog.text


UNSERVED = {
    "Generate": rpc.GenerateRequest(),
    "Explain": rpc.ExplainRequest(),
    "GetRoutingState": rpc.GetRoutingStateRequest(),
    "WatchRoutingState": rpc.WatchRoutingStateRequest(),
    "ResetMember": rpc.ResetMemberRequest(),
    "UnpinSession": rpc.UnpinSessionRequest(),
}


@pytest.mark.parametrize("method", UNSERVED)
async def test_what_is_only_announced_says_so(running: World, method: str) -> None:
    # given
    assert running.router is not None
    call = getattr(RouterServiceStub(running.router.channel), method)(UNSERVED[method])

    # when
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call.read() if method == "WatchRoutingState" else call)

    # then
    assert reason_of(raised.value).reason == "UNIMPLEMENTED"


async def test_the_provider_face_is_only_announced(running: World) -> None:
    # given
    assert running.router is not None
    stub = InferenceProviderServiceStub(running.router.channel)

    # when
    with pytest.raises(grpc.aio.AioRpcError) as streamed:
        await stub.Infer(prov_rpc.InferRequest()).read()
    with pytest.raises(grpc.aio.AioRpcError) as asked:
        await stub.GetCapabilities(prov_rpc.GetCapabilitiesRequest())

    # then
    assert reason_of(streamed.value).reason == "UNIMPLEMENTED"
    assert reason_of(asked.value).reason == "UNIMPLEMENTED"
