"""The four services while their databases are away: health, server info, calls."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest
from runyard.types.v1.server_info_service_pb2_grpc import ServerInfoServiceStub
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.errors import Retry
from services.chassis.server.definition import ServiceDefinition
from tests.arch.project import SERVED_PACKAGES, proto_services
from tests.support import clients
from tests.support.mounts import mounted
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.serving import serving
from tests.support.smallest_messages import REQUESTS
from tests.support.stack import GRPC_NAMES

pytestmark = pytest.mark.timeout(120)

SERVICES = ("registry", "router", "runcontrol", "pool")
NEED_THEIR_DATABASE = ("registry", "runcontrol", "pool")
NOWHERE = "127.0.0.1:9"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Urls: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Running:
    """The four services, with a model in the registry that the router knows."""

    channels: Mapping[str, grpc.aio.Channel]

    async def health(self, service: str, name: str | None = None) -> int:
        stub: Any = health_pb2_grpc.HealthStub(self.channels[service])  # type: ignore[no-untyped-call]  # so it ships
        asked = health_pb2.HealthCheckRequest(service=GRPC_NAMES[service] if name is None else name)
        return int((await stub.Check(asked)).status)

    async def cause(self, service: str) -> str:
        stub = ServerInfoServiceStub(self.channels[service])
        return (await stub.GetServerInfo(GetServerInfoRequest())).store_unavailable_cause

    async def infer(self) -> str:
        channel = self.channels["router"]
        return (await clients.infer(channel, "m", "hello", thread_id="t")).text

    async def until_each(self, *, away: bool) -> None:
        """Every service has noticed."""
        for service in SERVICES:
            while bool(await self.cause(service)) is not away:
                continue

    async def statuses(self) -> dict[str, int]:
        return {service: await self.health(service) for service in SERVICES}

    async def liveness(self) -> set[int]:
        return {await self.health(service, "") for service in SERVICES}


@asynccontextmanager
async def running(urls: Urls) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        targets: dict[str, str] = {}
        channels: dict[str, grpc.aio.Channel] = {}
        for service in SERVICES:
            definition = definition_of(service)
            fields = definition.settings.model_fields
            known = {
                f"{name}_target": targets.get(name, NOWHERE)
                for name in SERVICES
                if f"{name}_target" in fields
            }
            settings = definition.settings(
                listen="127.0.0.1:0",
                database_url=urls[service],
                database_connections=2,
                drain_grace_s=1.0,
                **known,
            )
            served = await stack.enter_async_context(serving(definition.build, settings))
            targets[service], channels[service] = served.target, served.channel
        answer = clients.builtin_provider("p", clients.replying("hi"))
        version = await clients.apply(channels["registry"], answer, clients.model("m", "p"))
        await clients.infer(channels["router"], "m", "hello", thread_id="t", min_version=version)
        yield Running(channels)


def definition_of(service: str) -> ServiceDefinition[Any]:
    found: ServiceDefinition[Any] = importlib.import_module(f"services.{service}.main").SERVICE
    return found


def files_in(folder: Path) -> dict[str, Path]:
    return {service: folder / f"{service}.db" for service in SERVICES}


def urls_of(files: Mapping[str, Path]) -> Urls:
    return {service: f"sqlite:///{file}" for service, file in files.items()}


async def check_an_outage_and_its_end(
    services: Running, begin: Callable[[], object], end: Callable[[], object]
) -> None:
    # given
    assert set((await services.statuses()).values()) == {SERVING}
    assert {await services.cause(service) for service in SERVICES} == {""}

    # when
    await asyncio.to_thread(begin)
    try:
        await services.until_each(away=True)

        # then the router serves on, and nobody is killed for it
        expected = dict.fromkeys(NEED_THEIR_DATABASE, NOT_SERVING) | {"router": SERVING}
        assert await services.statuses() == expected
        assert await services.liveness() == {SERVING}
        assert await services.infer() == "hi"
    finally:
        await asyncio.to_thread(end)

    # and each serves again when its database is back
    await services.until_each(away=False)
    assert set((await services.statuses()).values()) == {SERVING}
    answer = clients.builtin_provider("later", clients.replying("hi"))
    assert await clients.apply(services.channels["registry"], answer) == 3


@pytest.mark.slow
async def test_services_are_not_ready_while_their_disk_is_full(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_kib=16 * 1024) as disk:
        filler = disk / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as opened, suppress(OSError):
                for size in (64 * 1024, 1024):
                    while opened.write(bytes(size)) == size:
                        pass

        async with running(urls_of(files_in(disk))) as services:
            await check_an_outage_and_its_end(services, fill, filler.unlink)


@pytest.mark.slow
async def test_services_are_not_ready_while_their_server_is_away() -> None:
    with private_cluster() as cluster, ExitStack() as schemas:
        urls = {name: schemas.enter_context(fresh_schema(cluster.url)) for name in SERVICES}
        async with running(urls) as services:
            await check_an_outage_and_its_end(services, cluster.stop, cluster.start)


async def outcome(channel: grpc.aio.Channel, path: str, request: Any) -> ErrorFacts | None:
    """How a call is refused; None: it was not."""
    call = channel.unary_unary(path, request_serializer=lambda each: each.SerializeToString())
    try:
        await call(request, timeout=30)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return None


def changes(service: str) -> Iterator[tuple[str, Any]]:
    """The path of every RPC with a ``request_id``, and its smallest request."""
    smallest = {request.DESCRIPTOR.full_name: request for request in REQUESTS}
    packages = {f"runyard.{package}.v1" for package in SERVED_PACKAGES[service]}
    for each in proto_services():
        for method in each.methods if each.file.package in packages else ():
            request = smallest.get(method.input_type.full_name)
            if request is not None and "request_id" in method.input_type.fields_by_name:
                given = message_factory.GetMessageClass(method.input_type)()
                given.CopyFrom(request)
                yield f"/{each.full_name}/{method.name}", given


async def test_no_call_changes_a_database_that_is_gone(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    async with running(urls_of(files)) as services:
        # when
        for file in files.values():
            file.unlink()
        await services.until_each(away=True)
        refusals = {
            service: [
                await outcome(services.channels[service], path, request)
                for path, request in changes(service)
            ]
            for service in NEED_THEIR_DATABASE
        }

        # then no change was answered, and whoever came as far as the database was told
        for service, found in refusals.items():
            assert None not in found, service
            lost = [each for each in found if each and each.code is grpc.StatusCode.DATA_LOSS]
            assert lost, service
            assert {each.reason for each in lost} == {"DATABASE_LOST"}
            assert {each.metadata["cause"] for each in lost} == {"FILE_REMOVED"}
            assert {each.metadata["retry"] for each in lost} == {Retry.NOT_RETRYABLE}
            codes = {each.code for each in found if each}
            assert not codes & {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, service

        # and the services say so for good
        assert {await services.cause(service) for service in SERVICES} == {"FILE_REMOVED"}
        expected = dict.fromkeys(NEED_THEIR_DATABASE, NOT_SERVING) | {"router": SERVING}
        assert await services.statuses() == expected
        assert await services.infer() == "hi"
