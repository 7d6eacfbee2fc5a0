"""Infer over gRPC, with a real registry and a real router."""

from __future__ import annotations

from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind

from runyard.provider.v1 import provider_pb2 as prov
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.streaming import streaming
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    answered_as_messages,
    builtin,
    limited_pool,
    model,
    pool,
    served_by,
)
from tests.support.engines import on_both_engines
from tests.support.fake_provider import FakeProvider, refusal, stream
from tests.support.messages_events import end, start, text_block, thinking_block
from tests.support.spans import recording


async def test_a_model_answers_by_its_own_id(running: RouterUnderTest) -> None:
    # given
    await running.apply(builtin("script"), model("echo", "script"))

    # when
    received = await running.infer("echo")

    # then
    assert received.kinds == ["started", *["text_delta"] * 3, "usage", "finished"]
    assert received.text == "hello big world"
    assert received.items[-1].finished.reason == content.FINISH_REASON_STOP
    assert received.items[-2].usage.source == content.USAGE_SOURCE_ESTIMATED
    assert received.items[0].started.decision == received.decision
    assert not received.decision.pool
    assert received.decision.member_id == "echo"
    assert received.decision.registry_version == running.version


@on_both_engines
async def test_the_first_frame_and_the_trailers_report_a_failover(running: RouterUnderTest) -> None:
    # given a home that is always rate limited
    await running.apply(*limited_pool(30.0))

    # when
    received = await running.infer("narration", thread_id="t1")

    # then
    decision = received.items[0].started.decision
    assert (decision.home_member_id, decision.member_id) == ("first", "second")
    assert decision.sticky == pb.STICKY_OUTCOME_MOVED
    first, second = decision.attempts
    assert (first.number, first.kind) == (1, pb.ATTEMPT_KIND_INITIAL)
    assert first.outcome == pb.ATTEMPT_OUTCOME_FAILED
    assert first.failure == prov.FAILURE_CLASS_RATE_LIMIT
    assert (first.http_status, first.retry_after.seconds) == (429, 30)
    assert (second.number, second.kind) == (2, pb.ATTEMPT_KIND_FAILOVER)
    assert received.text == "hello big world"
    assert received.decision.attempts[1].outcome == pb.ATTEMPT_OUTCOME_SUCCEEDED


@on_both_engines
async def test_a_pin_survives_calls_and_a_restart(running: RouterUnderTest) -> None:
    # given a session that failed over
    await running.apply(*limited_pool(0.001))
    await running.infer("narration", thread_id="t1")

    # when it calls again, and once more after a restart of the router
    again = await running.infer("narration", thread_id="t1")
    await running.restart_router()
    after = await running.infer("narration", thread_id="t1")

    # then the home was not called, although its deadline has passed
    for received in (again, after):
        decision = received.decision
        assert decision.sticky == pb.STICKY_OUTCOME_PINNED
        assert received.members == ["second"]
        assert (decision.session, decision.move_reason) == (
            "thread:t1",
            prov.FAILURE_CLASS_RATE_LIMIT,
        )
    assert again.decision.move_time == after.decision.move_time
    assert again.decision.HasField("move_time")


async def test_a_provider_is_not_called_before_its_quota_deadline(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a member with a quota deadline in a minute
    provider.answers(refusal(429, retry_after="60"))
    await running.apply(
        *served_by(provider, "first"),
        builtin("script"),
        model("second", "script"),
        pool("p", "first", "second"),
    )
    at_home = [f"t{n}" for n in range(50) if await _home_of(running, f"t{n}") == "first"]

    # when more sessions with that home call
    received = [await running.infer("p", thread_id=session) for session in at_home]

    # then they are served elsewhere and the provider saw one request
    assert len(at_home) > 5
    assert {h.decision.member_id for h in received} == {"second"}
    assert len(provider.requests) == 1


async def test_a_pool_fails_over_between_dialects(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given an openai model that is overloaded, and an anthropic one
    answer = [start(), *thinking_block(0, "c2ln", "hm"), *text_block(1, "hello"), *end()]
    provider.answers(refusal(503), stream(*answer))
    await running.apply(
        *served_by(provider, "first"),
        *answered_as_messages(provider, "second"),
        pool("p", "first", failover_only=["second"]),
    )

    # when
    with recording() as spans:
        received = await running.infer("p", "hi", thread_id="t1")

    # then
    assert (received.text, received.members) == ("hello", ["first", "second"])
    assert received.items[-1].finished.reason == content.FINISH_REASON_STOP
    states = [item.reasoning_delta for item in received.items if item.HasField("reasoning_delta")]
    assert [(state.text, state.provider_id) for state in states] == [
        ("hm", "claude"),
        ("", "claude"),
    ]
    sent = provider.requests[1]
    assert (sent.path, sent.body["max_tokens"]) == ("/v1/messages", 2000)
    assert "cache_control" in str(sent.body)
    names = {span.attributes.get("gen_ai.provider.name") for span in spans.spans if span.attributes}
    assert names >= {"openai", "anthropic"}


async def _home_of(running: RouterUnderTest, session: str) -> str:
    return (await running.infer("p", thread_id=session)).decision.home_member_id


async def test_a_home_is_the_same_on_another_router(
    running: RouterUnderTest, tmp_path: Path
) -> None:
    # given two routers on one registry
    members = [f"m{n}" for n in range(1, 5)]
    await running.apply(
        builtin("script"), *(model(name, "script") for name in members), pool("p", *members)
    )
    (tmp_path / "other").mkdir()
    other = RouterUnderTest(
        tmp_path / "other", registry_port=running.registry_port, version=running.version
    )
    await other.start_router()

    # when
    try:
        homes = [
            (await _home_of(running, f"t{n}"), await _home_of(other, f"t{n}")) for n in range(30)
        ]
    finally:
        await other.stop_router()

    # then
    assert all(one == two for one, two in homes)
    assert {one for one, _ in homes} == {"m1", "m2", "m3", "m4"}


@on_both_engines
async def test_inference_goes_on_without_the_registry(running: RouterUnderTest) -> None:
    # given
    await running.apply(*limited_pool())
    await running.infer("narration")

    # when the registry stops, and the router restarts without it
    await running.stop_registry()
    without = await running.infer("narration", min_registry_version=0)
    await running.restart_router()
    restarted = await running.infer("narration", min_registry_version=0)

    # then
    for received in (without, restarted):
        assert received.text == "hello big world"
        assert received.decision.registry_version == running.version


async def test_it_serves_only_once_it_has_a_snapshot(tmp_path: Path) -> None:
    # given a router whose registry was never there
    servers = RouterUnderTest(tmp_path)
    await servers.start_router()
    try:
        health = health_pb2_grpc.HealthStub(servers.channel)  # type: ignore[no-untyped-call]  # generated
        asked = health_pb2.HealthCheckRequest(service="runyard.router.v1.RouterService")

        # when
        before = await health.Check(asked)
        received = await servers.infer("m")
        await servers.start_registry()
        watching = health.Watch(asked)
        async with streaming(watching):
            async for after in watching:
                if after.status == health_pb2.HealthCheckResponse.SERVING:
                    break

        # then
        assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert received.failure.reason == "SNAPSHOT_MISSING"
        assert after.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_spans_link_a_failover_to_the_next_call(running: RouterUnderTest) -> None:
    # given a session that fails over, then calls twice more
    await running.apply(*limited_pool(0.001))

    # when
    recorded = []
    for _ in range(3):
        with recording() as spans:
            await running.infer("narration", thread_id="t1")
        recorded.append(spans)
    first, second, third = recorded

    # then the attempts hang below the route, the second linked to the first
    route = first.named("route narration")
    before, after = first.named("chat limited"), first.named("chat fine")
    (server,) = [
        span
        for span in first.spans
        if span.kind is SpanKind.SERVER and span.name.endswith("RouterService/Infer")
    ]
    assert before.context is not None
    assert route.parent == server.context
    assert before.parent == after.parent == route.context
    (link,) = after.links
    assert link.context.span_id == before.context.span_id
    assert (link.attributes or {})["router.link.type"] == "failover_from"
    assert (before.attributes or {})["error.type"] == "rate_limit"
    assert (after.attributes or {})["router.commit"] is True
    assert (after.attributes or {})["gen_ai.usage.output_tokens"] == 4
    assert (route.attributes or {})["gen_ai.conversation.id"] == "t1"
    assert [event.name for event in route.events] == ["router.failover"]

    # and the first call after the move links to what moved it, across traces, once
    (moved,) = second.named("route narration").links
    assert moved.context.span_id == before.context.span_id
    assert (moved.attributes or {})["router.link.type"] == "moved_by"
    assert third.named("route narration").links == ()
