"""Infer over the wire: a real registry, a real router, real stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind

from runyard.provider.v1 import provider_pb2 as prov
from runyard.provider.v1 import provider_service_pb2 as prov_rpc
from runyard.provider.v1.provider_service_pb2_grpc import InferenceProviderServiceStub
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.rpc_status import reason_of
from services.chassis.streaming import streaming
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
    seconds,
    thread,
    world,
)
from tests.support.fake_provider import (
    FakeProvider,
    Pause,
    Script,
    finish,
    refusal,
    stream,
    text,
)
from tests.support.spans import recording


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as servers:
        yield servers


async def test_a_model_answers_by_its_own_id(running: World) -> None:
    # given
    version = await running.apply(builtin("script"), model("echo", "script"))

    # when
    heard = await running.infer(request("echo", min_registry_version=version))

    # then
    assert heard.kinds == ["started", *["text_delta"] * 3, "usage", "finished"]
    assert heard.text == "hello big world"
    assert heard.items[-1].finished.reason == content.FINISH_REASON_STOP
    assert heard.items[-2].usage.source == content.USAGE_SOURCE_ESTIMATED
    assert heard.items[0].started.decision == heard.decision
    assert not heard.decision.pool
    assert heard.decision.member_id == "echo"
    assert heard.decision.registry_version == version


async def test_failover_is_told_in_the_first_frame_and_in_the_trailers(running: World) -> None:
    # given a home that is always rate limited
    version = await running.apply(*limited_pool(30.0))

    # when
    asked = request("narration", session=thread("t1"), min_registry_version=version)
    heard = await running.infer(asked)

    # then
    decision = heard.items[0].started.decision
    assert (decision.home_member_id, decision.member_id) == ("first", "second")
    assert decision.sticky == pb.STICKY_OUTCOME_MOVED
    first, second = decision.attempts
    assert (first.number, first.kind) == (1, pb.ATTEMPT_KIND_INITIAL)
    assert (first.outcome, first.failure) == (
        pb.ATTEMPT_OUTCOME_FAILED,
        prov.FAILURE_CLASS_RATE_LIMIT,
    )
    assert (first.http_status, first.retry_after.seconds) == (429, 30)
    assert (second.number, second.kind) == (2, pb.ATTEMPT_KIND_FAILOVER)
    assert heard.text == "hello big world"
    assert heard.decision.attempts[1].outcome == pb.ATTEMPT_OUTCOME_SUCCEEDED


async def test_a_pin_survives_calls_and_a_restart(running: World) -> None:
    # given a session that was moved
    version = await running.apply(*limited_pool(0.001))
    asked = request("narration", session=thread("t1"), min_registry_version=version)
    await running.infer(asked)

    # when it asks again, and once more after the router was started anew
    again = await running.infer(asked)
    await running.stop_router()
    await running.start_router()
    after = await running.infer(asked)

    # then the home was not even asked, although its deadline is over
    for heard in (again, after):
        assert heard.decision.sticky == pb.STICKY_OUTCOME_PINNED
        assert heard.members == ["second"]


async def test_a_quota_deadline_spares_the_provider(running: World, provider: FakeProvider) -> None:
    # given a member that asked for a minute of rest
    provider.answers(refusal(429, retry_after="60"))
    version = await running.apply(
        openai("vllm", provider.base_url),
        builtin("script"),
        model("first", "vllm"),
        model("second", "script"),
        pool("p", home("first"), home("second")),
    )
    at_home = [
        session
        for n in range(50)
        if await _home_of(running, session := f"t{n}", version) == "first"
    ]

    # when more sessions that are at home on it ask
    heard = [await running.infer(request("p", session=thread(s))) for s in at_home]

    # then they are served elsewhere and the provider saw one request
    assert len(at_home) > 5
    assert {h.decision.member_id for h in heard} == {"second"}
    assert len(provider.requests) == 1


async def _home_of(running: World, session: str, version: int) -> str:
    asked = request("p", session=thread(session), min_registry_version=version)
    return (await running.infer(asked)).decision.home_member_id


async def test_a_home_is_the_same_on_another_router(running: World, tmp_path: Path) -> None:
    # given two routers on one registry
    members = [home(f"m{n}") for n in range(1, 5)]
    version = await running.apply(
        builtin("script"), *(model(f"m{n}", "script") for n in range(1, 5)), pool("p", *members)
    )
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", running.registry_port)
    await other.start_router()

    # when
    try:
        homes = [
            (await _home_of(running, f"t{n}", version), await _home_of(other, f"t{n}", version))
            for n in range(30)
        ]
    finally:
        await other.stop_router()

    # then
    assert all(one == two for one, two in homes)
    assert {one for one, _ in homes} == {"m1", "m2", "m3", "m4"}


async def test_headers_wait_for_the_commit_point(running: World, provider: FakeProvider) -> None:
    # given a provider that has accepted the request and says nothing yet
    provider.answers(stream(text()[0], Pause(), *text("late")[1:], *finish()))
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when
    async with streaming(running.call(request("m", min_registry_version=version))) as call:
        headers = asyncio.ensure_future(call.initial_metadata())
        await provider.until(requests=1)
        for _ in range(200):
            await asyncio.sleep(0)
        early = headers.done()
        provider.go_on()
        await headers
        frames = [frame async for frame in call]

    # then
    assert not early
    assert frames[0].items[1].text_delta.text == "late"


async def test_a_stream_that_is_cut_ends_with_what_was_sent(running: World) -> None:
    # given
    cut = fault(reg.BUILTIN_FAULT_KIND_CUT, after_deltas=2, text="one two three")
    version = await running.apply(
        builtin("script", reg.BuiltinStep(fault=cut)), model("m", "script")
    )

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert heard.text == "one two"
    interrupted = heard.items[-1].interrupted
    assert interrupted.reason == prov.FAILURE_CLASS_STREAM_TRUNCATED
    assert interrupted.committed_length == 7
    assert interrupted.resumable
    assert heard.error is not None
    assert (heard.error.code, heard.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_INTERRUPTED")
    assert heard.decision.attempts[0].outcome == pb.ATTEMPT_OUTCOME_INTERRUPTED


@pytest.mark.parametrize("moment", ["before headers", "before content", "while streaming"])
async def test_a_cancel_reaches_the_upstream_socket(
    running: World, provider: FakeProvider, moment: str
) -> None:
    # given a provider that hangs
    hanging = {
        "before headers": Script((Pause(),)),
        "before content": stream(text()[0], Pause()),
        "while streaming": stream(*text("a"), Pause()),
    }
    provider.answers(hanging[moment])
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when the caller goes away
    call = running.call(request("m", min_registry_version=version))
    if moment == "while streaming":
        await call.read()
    await provider.until(requests=1)
    call.cancel()

    # then the provider sees it
    await asyncio.wait_for(provider.until(disconnects=1), 5)
    assert provider.disconnects == 1


async def test_a_deadline_reaches_the_upstream_socket(
    running: World, provider: FakeProvider
) -> None:
    # given a provider that hangs
    provider.answers(Script((Pause(),)))
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when
    heard = await running.infer(request("m", min_registry_version=version), timeout=0.3)

    # then
    assert heard.error is not None
    assert heard.error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(provider.until(disconnects=1), 5)


async def test_inference_goes_on_without_the_registry(running: World) -> None:
    # given
    version = await running.apply(*limited_pool())
    await running.infer(request("narration", min_registry_version=version))

    # when the registry goes away, and the router starts anew without it
    await running.stop_registry()
    without = await running.infer(request("narration"))
    await running.stop_router()
    await running.start_router()
    restarted = await running.infer(request("narration"))

    # then
    for heard in (without, restarted):
        assert heard.text == "hello big world"
        assert heard.decision.registry_version == version


async def test_it_serves_only_once_it_has_a_snapshot(tmp_path: Path) -> None:
    # given a router whose registry was never there
    servers = World(tmp_path)
    await servers.start_router()
    try:
        assert servers.router is not None
        health = health_pb2_grpc.HealthStub(servers.router.channel)  # type: ignore[no-untyped-call]  # generated
        asked = health_pb2.HealthCheckRequest(service="runyard.router.v1.RouterService")

        # when
        before = await health.Check(asked)
        heard = await servers.infer(request("m"))
        await servers.start_registry()
        watching = health.Watch(asked)
        async with streaming(watching):
            async for after in watching:
                if after.status == health_pb2.HealthCheckResponse.SERVING:
                    break

        # then
        assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert heard.reason == "SNAPSHOT_MISSING"
        assert after.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await servers.stop_router()
        await servers.stop_registry()


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


async def test_tool_calls_and_reasoning_travel(running: World) -> None:
    # given a script that reasons, speaks and calls
    call = reg.BuiltinToolCall(tool_id="look", arguments_json='{"at": "${what}"}')
    answer = reg.BuiltinReply(text="one moment", reasoning="hm", tool_calls=[call])
    step = reg.BuiltinStep(matches=r"look at (?P<what>\w+)", reply=answer)
    version = await running.apply(builtin("script", step), model("m", "script"))

    # when
    tool = content.ToolDefinition(tool_id="look", json_schema='{"type": "object"}')
    required = prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_REQUIRED)
    asked = request(
        "m", "look at cats", min_registry_version=version, tools=[tool], tool_choice=required
    )
    heard = await running.infer(asked)

    # then
    assert heard.kinds[1] == "reasoning_delta"
    assert heard.kinds[-4:] == ["tool_call_delta", "tool_call_ready", "usage", "finished"]
    ready = heard.items[-3].tool_call_ready.call
    assert (ready.call_id, ready.tool_id, ready.arguments_json) == (
        "call_1",
        "look",
        '{"at": "cats"}',
    )
    assert heard.items[-1].finished.reason == content.FINISH_REASON_TOOL_CALLS


async def test_what_one_read_brings_travels_in_one_message(running: World) -> None:
    # given a script that says 100 words at once
    words = " ".join(["word"] * 100)
    version = await running.apply(
        builtin("script", reg.BuiltinStep(reply=reg.BuiltinReply(text=words))),
        model("m", "script"),
    )

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert [len(frame.items) for frame in heard.frames] == [64, 39]
    assert heard.text == words


async def test_deltas_with_an_interval_come_one_by_one(running: World) -> None:
    # given
    version = await running.apply(builtin("script", interval_s=0.001), model("m", "script"))

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert [len(frame.items) for frame in heard.frames] == [2, 1, 1, 1, 1]


async def test_a_stalled_stream_runs_into_its_clock(running: World) -> None:
    # given a stall after two words, and an idle clock of 0.2 s
    stall = fault(reg.BUILTIN_FAULT_KIND_STALL, after_deltas=2, text="one two three")
    version = await running.apply(
        builtin("script", reg.BuiltinStep(fault=stall)),
        model("m", "script"),
        pool("p", home("m"), clocks=reg.PoolClocks(idle=seconds(0.2))),
    )

    # when
    heard = await running.infer(request("p", min_registry_version=version))

    # then
    assert heard.text == "one two"
    assert heard.items[-1].interrupted.reason == prov.FAILURE_CLASS_TIMEOUT_IDLE


async def test_spans_lead_from_the_call_through_failover_to_the_next_one(
    running: World,
) -> None:
    # given a session that moves, then asks twice more
    version = await running.apply(*limited_pool(0.001))
    asked = request("narration", session=thread("t1"), min_registry_version=version)

    # when
    with recording() as first:
        await running.infer(asked)
    with recording() as second:
        await running.infer(asked)
    with recording() as third:
        await running.infer(asked)

    # then the attempts hang below the route, the second linked to the first
    route = first.named("route narration")
    before, after = first.named("chat limited"), first.named("chat fine")
    (server,) = [
        span
        for span in first.spans
        if span.kind is SpanKind.SERVER and span.name.endswith("RouterService/Infer")
    ]
    assert server.context is not None
    assert route.context is not None
    assert route.parent is not None
    assert route.parent.span_id == server.context.span_id
    for attempt in (before, after):
        assert attempt.parent is not None
        assert attempt.parent.span_id == route.context.span_id
    (link,) = after.links
    assert before.context is not None
    assert link.context.span_id == before.context.span_id
    assert link.attributes is not None
    assert link.attributes["router.link.type"] == "failover_from"
    assert before.attributes is not None
    assert before.attributes["error.type"] == "rate_limit"
    assert after.attributes is not None
    assert after.attributes["router.commit"] is True
    assert after.attributes["gen_ai.usage.output_tokens"] == 4
    assert route.attributes is not None
    assert route.attributes["gen_ai.conversation.id"] == "t1"
    assert [event.name for event in route.events] == ["router.failover"]

    # and the first call after the move links to what moved it, across traces, once
    (moved,) = second.named("route narration").links
    assert moved.context.span_id == before.context.span_id
    assert moved.attributes is not None
    assert moved.attributes["router.link.type"] == "moved_by"
    assert third.named("route narration").links == ()


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
