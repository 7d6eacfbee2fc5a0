"""Errors over gRPC: code, reason and metadata of each."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.provider.v1 import provider_service_pb2 as prov_rpc
from runyard.provider.v1.provider_service_pb2_grpc import InferenceProviderServiceStub
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest
from runyard.types.v1.server_info_service_pb2_grpc import ServerInfoServiceStub
from services.chassis.calls.rpc_status import reason_of
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    call_infer,
    failing,
    limited_pool,
    model,
    pool,
    scripted,
    seconds,
    served_by,
)
from tests.support.fake_provider import FakeProvider, refusal


async def test_a_version_that_does_not_arrive_is_refused(running: RouterUnderTest) -> None:
    # when
    received = await running.infer("m", min_registry_version=99)

    # then
    assert received.code_and_reason == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_BEHIND")
    assert received.failure.retry_after_s is not None


async def test_a_rate_limit_is_returned_with_its_hint(running: RouterUnderTest) -> None:
    # given a model called directly
    await running.apply(*limited_pool(30.0))

    # when
    received = await running.infer("first")

    # then
    assert received.code_and_reason == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_EXHAUSTED")
    assert received.failure.retry_after_s == 30.0
    assert received.failure.metadata["member_id"] == "first"
    assert received.members == ["first"]


async def test_without_time_to_wait_a_short_limit_is_returned(running: RouterUnderTest) -> None:
    # given a model whose provider asks to be left alone for 5 s
    await running.apply(*limited_pool(5.0))

    # when
    received = await running.infer("first", max_wait=seconds(0))

    # then
    assert received.code_and_reason == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_EXHAUSTED")
    assert received.failure.retry_after_s == 5.0
    assert received.members == ["first"]


KINDS = {
    "UNAUTHORIZED": (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    "INVALID_REQUEST": (grpc.StatusCode.INVALID_ARGUMENT, "UPSTREAM_INVALID_REQUEST"),
    "OVERLOADED": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_OVERLOADED"),
    "SERVER_ERROR": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"),
    "GARBAGE": (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_failure_has_its_code_and_reason(running: RouterUnderTest, kind: str) -> None:
    # given
    number = getattr(reg, f"BUILTIN_FAULT_KIND_{kind}")
    await running.apply(*scripted(failing(number, text="because")))

    # when
    received = await running.infer("m")

    # then
    assert received.code_and_reason == KINDS[kind]
    assert ("because" in received.failure.message) == (kind == "INVALID_REQUEST")


async def test_a_missing_credential_is_named_before_anything_is_sent(
    running: RouterUnderTest, provider: FakeProvider, tmp_path: Path
) -> None:
    # given a provider whose key file is not there
    file = tmp_path / "key"
    vllm, served = served_by(provider)
    vllm.provider.credential_ref.file = str(file)
    await running.apply(vllm, served)

    # when
    received = await running.infer("m")

    # then
    assert received.code_and_reason == (grpc.StatusCode.FAILED_PRECONDITION, "CREDENTIAL_MISSING")
    assert received.failure.message == (
        f"model 'm' is not called: provider 'vllm' has no credential: file {file} cannot be read "
        "(no such file or directory); put the credential there, readable for the router"
    )
    assert received.failure.metadata["retry"] == "host_configuration_needed"
    assert received.decision.attempts[0].failure == prov.FAILURE_CLASS_CREDENTIAL_MISSING
    assert provider.requests == []


async def test_an_exhausted_pool_names_every_members_cause(running: RouterUnderTest) -> None:
    # given a pool of two that are both limited
    limited = failing(reg.BUILTIN_FAULT_KIND_RATE_LIMITED, 30.0)
    await running.apply(*scripted(limited), model("other", "script"), pool("p", "m", "other"))

    # when
    first = await running.infer("p")
    second = await running.infer("p")

    # then
    exhausted = (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_EXHAUSTED")
    assert first.code_and_reason == second.code_and_reason == exhausted
    for failure in (first.failure, second.failure):
        assert failure.retry_after_s is not None
        assert 25 < failure.retry_after_s <= 30
        assert '"m": ' in failure.metadata["causes"]
        assert '"other": ' in failure.metadata["causes"]
    assert sorted(first.members) == ["m", "other"]
    assert [s.reason for s in second.decision.skipped] == [pb.SKIP_REASON_QUOTA_DEADLINE] * 2
    assert second.members == []


async def test_an_unknown_target_is_not_found(running: RouterUnderTest) -> None:
    # given the models "m" and "narration-fast"
    await running.apply(*scripted(), model("narration-fast", "script"))

    # when
    nothing_like_it = await running.infer("nobody")
    misspelled = await running.infer("Naration-fast")

    # then
    expected = (grpc.StatusCode.NOT_FOUND, "TARGET_NOT_FOUND")
    assert nothing_like_it.code_and_reason == misspelled.code_and_reason == expected
    assert nothing_like_it.failure.metadata.keys() == {"retry", "target_id"}
    assert misspelled.failure.metadata["nearest"] == '["narration-fast"]'
    assert "did you mean 'narration-fast'?" in misspelled.failure.message


async def test_every_violation_of_a_request_is_reported_at_once(running: RouterUnderTest) -> None:
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
    failure = (await call_infer(running.channel, wrong)).failure

    # then
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert sorted({violation.field for violation in failure.violations}) == [
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


async def test_no_content_of_a_request_is_logged(
    running: RouterUnderTest, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    # given a provider that fails
    provider.always(refusal(500, {"error": {"message": "the internals"}}))
    await running.apply(*served_by(provider))

    # when
    await running.infer("m", "my-private-question")

    # then
    assert "my-private-question" not in caplog.text
    assert "the internals" not in caplog.text


async def test_a_router_is_no_provider_of_another_router(running: RouterUnderTest) -> None:
    """``provider.v1`` is what its upstreams serve; routers do not chain."""
    # given
    stub = InferenceProviderServiceStub(running.channel)

    # when
    with pytest.raises(grpc.aio.AioRpcError) as streamed:
        await stub.Infer(prov_rpc.InferRequest()).read()
    with pytest.raises(grpc.aio.AioRpcError) as asked:
        await stub.GetCapabilities(prov_rpc.GetCapabilitiesRequest())

    # then
    assert reason_of(streamed.value).reason == "UNIMPLEMENTED"
    assert reason_of(asked.value).reason == "UNIMPLEMENTED"
    info = await ServerInfoServiceStub(running.channel).GetServerInfo(GetServerInfoRequest())
    assert "runyard.provider.v1.InferenceProviderService" not in info.grpc_services
