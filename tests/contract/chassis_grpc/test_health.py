"""Health follows readiness, reflection and server info say what is served."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2

from runyard.types.v1 import server_info_service_pb2 as info_pb
from runyard.types.v1 import server_info_service_pb2_grpc as info_rpc
from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.calls.streaming import streaming
from services.chassis.server.service import Chassis, ServerFacts, Service
from services.chassis.store.port import StoreInfo
from services.wire.server_info import FULL_NAME, server_info_servicer
from tests.contract.chassis_grpc.probe import NAME, Probe, ProbeSettings, failure, probing
from tests.support.serving import serving
from tests.support.waiting import within_limit

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def _about(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", ["", NAME])
async def test_a_server_without_conditions_is_serving(service: str) -> None:
    async with probing() as probe:
        answer = await probe.stub.health.Check(_about(service))
    assert answer.status == SERVING


async def test_a_service_that_is_not_here_is_not_found() -> None:
    async with probing() as probe:
        error = await failure(probe.stub.health.Check(_about("no.such.Service")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_of_a_service_that_is_not_here_says_so_and_goes_on() -> None:
    async with probing() as probe, streaming(probe.stub.health.Watch(_about("x"))) as watch:
        assert (await watch.read()).status == UNKNOWN
        assert not watch.done()


async def test_health_follows_readiness_both_ways() -> None:
    # given a server that is not ready yet
    ready = False
    async with probing(Probe(ready=lambda: ready)) as probe:
        health = probe.stub.health
        async with streaming(health.Watch(_about(NAME))) as watch:
            seen = [(await watch.read()).status, (await health.Check(_about(NAME))).status]

            # when it becomes ready, and then loses what it needs
            ready = True
            seen += [(await health.Check(_about(NAME))).status, (await watch.read()).status]
            ready = False
            seen += [(await health.Check(_about(NAME))).status, (await watch.read()).status]

    # then checks and watches say so
    assert seen == [NOT_SERVING, NOT_SERVING, SERVING, SERVING, NOT_SERVING, NOT_SERVING]


async def test_health_is_not_serving_from_the_first_moment_of_a_drain() -> None:
    async with probing() as probe:
        probe.chassis.drain.start()
        answer = await probe.stub.health.Check(_about(NAME))
    assert answer.status == NOT_SERVING
    async with within_limit():
        await probe.chassis.drain.wait()


@pytest.mark.parametrize("draining", [False, True])
async def test_the_empty_name_is_liveness_and_says_serving_whatever_is_away(
    draining: bool,
) -> None:
    """An orchestrator kills what is not live: that would cut the drain, and cure no database."""
    async with probing(Probe(ready=lambda: False)) as probe:
        health = probe.stub.health
        async with streaming(health.Watch(_about(""))) as watch:
            if draining:
                probe.chassis.drain.start()
            seen = [(await watch.read()).status, (await health.Check(_about(""))).status]
            seen.append((await health.Check(_about(NAME))).status)

    assert seen == [SERVING, SERVING, NOT_SERVING]


async def test_server_info_tells_the_facts_and_needs_no_row_of_the_service() -> None:
    facts = ServerFacts(
        service="probe",
        version="0.1.0",
        commit="abc",
        store=StoreInfo("sqlite", "3.40.1", "full"),
        limits={"max_request_bytes": 16_777_216, "max_list": 100},
        grpc_services=("runyard.probe.v1.ProbeService",),
    )

    async def build(settings: ProbeSettings, chassis: Chassis) -> Service:
        return Service("probe", "probe.runyard.dev", [server_info_servicer(facts)], {}, facts)

    async with serving(build, ProbeSettings()) as served:
        stub = info_rpc.ServerInfoServiceStub(served.channel)
        answer = await stub.GetServerInfo(info_pb.GetServerInfoRequest())

    assert answer == info_pb.GetServerInfoResponse(
        service="probe",
        version="0.1.0",
        commit="abc",
        store_engine="sqlite",
        store_version="3.40.1",
        durability="full",
        limits=[
            info_pb.Limit(name="max_list", value=100),
            info_pb.Limit(name="max_request_bytes", value=16_777_216),
        ],
        grpc_services=["runyard.probe.v1.ProbeService", FULL_NAME],
    )


def test_facts_of_a_service_know_the_distribution_and_the_limit_of_the_chassis() -> None:
    facts = ServerFacts.of("probe", StoreInfo("sqlite", "3", "full"), ["a.B"], {"max_list": 1})
    assert facts.version == "0.1.0"
    assert facts.limits == {"max_request_bytes": 16_777_216, "max_list": 1}
    assert facts.grpc_services == ("a.B",)


def test_the_limits_of_policy_rows_are_among_the_facts() -> None:
    rows = {
        "/a.B/Watch": MethodPolicy(ANY_ROLE, None, concurrent_per_principal=7),
        "/a.B/Get": MethodPolicy(ANY_ROLE, 5.0),
    }
    facts = ServerFacts.of("probe", StoreInfo("sqlite", "3", "full"), ["a.B"], policy=rows)
    assert facts.limits == {
        "max_request_bytes": 16_777_216,
        "max_open_calls_per_principal:a.B/Watch": 7,
    }
