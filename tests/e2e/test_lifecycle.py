"""Start, introspection and drain of the real processes."""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from runyard.registry.v1.registry_service_pb2 import WatchSnapshotRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest
from runyard.types.v1.server_info_service_pb2_grpc import ServerInfoServiceStub
from tests.support.stack import GRPC_NAMES, SERVICES, Stack, service_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def serve(service: str, environment: dict[str, str]) -> tuple[int | None, bytes]:
    """How a server that refuses to start ends, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", "serve", service),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output


@pytest.mark.parametrize("service", SERVICES)
async def test_health_reflection_and_server_info_answer(stack: Stack, service: str) -> None:
    # when a server is asked about itself in all three ways
    async with stack.channel(service) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=GRPC_NAMES[service]), timeout=10
        )
        listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = [s.name async for r in listing for s in r.list_services_response.service]
        server = ServerInfoServiceStub(channel)
        info = await server.GetServerInfo(GetServerInfoRequest(), timeout=10)

    # then it serves, lists itself, and tells its store and limits
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert {GRPC_NAMES[service], "runyard.types.v1.ServerInfoService"} <= set(names)
    assert (info.service, info.store_engine, info.durability) == (service, "sqlite", "full")
    assert info.version
    assert {"max_request_bytes"} <= {limit.name for limit in info.limits}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_signal_ends_a_server_although_streams_are_open(
    stack: Stack, service: str, number: signal.Signals
) -> None:
    """An open watch must neither hold the stop nor lose its handler's clean-up."""
    # given a server with a health watch, and on the registry a snapshot watch, open
    async with stack.channel(service) as channel:
        health = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=GRPC_NAMES[service])
        )
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch = None
        if service == "registry":
            watch = RegistryServiceStub(channel).WatchSnapshot(WatchSnapshotRequest())
            await watch.read()

        # when it is asked to stop
        code = await stack.terminate(service, number)

        # then it ends cleanly, long before its grace is over, and its stream says where to resume
        last = None
        while watch is not None and (frame := await watch.read()) is not grpc.aio.EOF:
            last = frame
        health.cancel()
        await health.code()
    assert code == 0, stack.log(service)
    assert last is None or last.HasField("reconnect")


async def test_an_unknown_setting_refuses_to_start_and_names_the_nearest(stack: Stack) -> None:
    # given a misspelt variable
    environment = service_environment(
        "router", stack.ports, stack.data, {"RUNYARD_ROUTER_REGISTRY_TARGT": "127.0.0.1:1"}
    )

    # when the server is started
    code, output = await serve("router", environment)

    # then it refuses, names the variable and the one that was meant, and shows no traceback
    assert code == 2
    assert b"RUNYARD_ROUTER_REGISTRY_TARGT" in output
    assert b"RUNYARD_ROUTER_REGISTRY_TARGET" in output
    assert b"Traceback" not in output


async def test_a_second_server_on_the_same_database_gets_a_clear_error(stack: Stack) -> None:
    """One process owns a SQLite file; the port is another one, so only the lock can refuse."""
    # given the environment of the running pool, on another port
    environment = service_environment("pool", {**stack.ports, "pool": 0}, stack.data)

    # when a second pool server is started on its database
    code, output = await serve("pool", environment)

    # then it refuses and names the file
    assert code == 2
    assert b"pool.db" in output
    assert b"Traceback" not in output


async def test_calls_to_a_stopped_server_fail_at_once(stack: Stack) -> None:
    # given a stopped server
    await stack.terminate("pool")

    # when it is called
    async with stack.channel("pool") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ServerInfoServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=5)

    # then the caller learns that it is away
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
