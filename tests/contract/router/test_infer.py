"""Infer over the wire: a real registry, a real router, real stubs."""

from __future__ import annotations

from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind

from runyard.provider.v1 import provider_pb2 as prov
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.chassis.streaming import streaming
from tests.contract.router.world import (
    World,
    builtin,
    home,
    limited_pool,
    model,
    openai,
    pool,
    request,
    thread,
)
from tests.support.engines import on_both_engines
from tests.support.fake_provider import (
    FakeProvider,
    refusal,
)
from tests.support.spans import recording


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


@on_both_engines
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


@on_both_engines
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
    other = World(tmp_path / "other", registry_port=running.registry_port)
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


@on_both_engines
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
