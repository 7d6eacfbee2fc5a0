"""Whom a stored answer is given to: every mutating RPC of every service.

An answer that no call could make is put into the database for each RPC, as if ``alice`` had been
given it through ``run-1``. Whoever gets that one was answered from what is stored.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.wrappers_pb2 import StringValue

from services.chassis.access.policy import UnauthenticatedError
from services.chassis.caller import Principal, Role
from services.chassis.calls import call as calls
from services.chassis.server.definition import ServiceDefinition
from tests.arch.project import SERVED_PACKAGES, proto_services
from tests.support.serving import serving
from tests.support.smallest_messages import REQUESTS

KEY = "key-1"
# A field that no message has: whatever the response is, it keeps what it does not know.
STORED = StringValue(value="stored").SerializeToString().replace(b"\x0a", b"\xfa\xff\xff\xff\x0f")
NAME, TENANT, ROLES = "x-name", "x-tenant", "x-roles"
NOWHERE = "127.0.0.1:9"
# By full name; an RPC that is served and has none here fails.
SMALLEST = {request.DESCRIPTOR.full_name: request for request in REQUESTS}
SERVICES = sorted(SERVED_PACKAGES)

Metadata: TypeAlias = list[tuple[str, str]]


def mutating(service: str) -> list[MethodDescriptor]:
    """Every RPC of ``service`` whose request has a ``request_id``."""
    packages = {f"runyard.{package}.v1" for package in SERVED_PACKAGES[service]}
    return [
        method
        for each in proto_services()
        if each.file.package in packages
        for method in each.methods
        if "request_id" in method.input_type.fields_by_name
    ]


class Named:
    """Everybody is who they say."""

    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Principal:
        if NAME not in metadata:
            raise UnauthenticatedError("no credential")
        roles = frozenset(Role(word) for word in str(metadata[ROLES]).split(",") if word)
        return Principal(str(metadata[TENANT]), roles, str(metadata[NAME]))


EVERY_ROLE = ",".join(Role)


def caller(
    name: str = "gateway",
    *,
    tenant: str = "acme",
    of: str = "alice",
    run: str = "run-1",
    roles: str = EVERY_ROLE,
) -> Metadata:
    """Metadata of a service that acts for somebody."""
    whom = f"tenant={tenant}&principal={of}" + (f"&run={run}" if run else "")
    return [(NAME, name), (TENANT, tenant), (ROLES, roles), ("on-behalf-of", whom)]


OTHERS = {
    "another person": caller(of="bob"),
    "another run": caller(run="run-2"),
    "no run": caller(run=""),
    "another tenant": caller(tenant="globex"),
    "the service itself": [(NAME, "gateway"), (TENANT, "acme"), (ROLES, EVERY_ROLE)],
    "the person without the service": [(NAME, "alice"), (TENANT, "acme"), (ROLES, EVERY_ROLE)],
}


@dataclass
class Server:
    """One service, with a stored answer for each of its methods that has a smallest request."""

    channel: grpc.aio.Channel

    async def outcome(
        self, method: MethodDescriptor, metadata: Metadata, key: str = KEY
    ) -> bytes | grpc.StatusCode:
        """The response as it comes, or the code of the refusal."""
        call = self.channel.unary_unary(
            path(method), request_serializer=lambda request: request.SerializeToString()
        )
        try:
            answer: bytes = await call(request_to(method, key), metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as refused:
            return refused.code()
        return answer

    async def served(self, service: str) -> list[MethodDescriptor]:
        """The methods that this version serves; each must have a smallest request."""
        unserved = grpc.StatusCode.UNIMPLEMENTED
        found = [
            method
            for method in mutating(service)
            if await self.outcome(method, caller()) is not unserved
        ]
        without = {method.input_type.full_name for method in found} - SMALLEST.keys()
        assert without == set(), "add the smallest of each to tests/support/smallest_messages.py"
        return found


@asynccontextmanager
async def answering(service: str, folder: Path) -> AsyncIterator[Server]:
    """The service beside a registry of its own; its other siblings are away."""
    file = folder / f"{service}.db"
    definition(service).schema.migrate(f"sqlite:///{file}")
    store_answers(service, file)
    away = dict.fromkeys(("router_target", "runcontrol_target", "pool_target"), NOWHERE)
    beside = settings("registry", folder / "beside.db", {})
    async with serving(definition("registry").build, beside) as registry:
        own = settings(service, file, {**away, "registry_target": registry.target})
        async with serving(definition(service).build, own, authenticator=Named()) as served:
            yield Server(served.channel)


def definition(service: str) -> ServiceDefinition[Any]:
    found: ServiceDefinition[Any] = importlib.import_module(f"services.{service}.main").SERVICE
    return found


def settings(service: str, file: Path, targets: Mapping[str, str]) -> Any:
    made = definition(service).settings
    known = {name: target for name, target in targets.items() if name in made.model_fields}
    return made(listen="127.0.0.1:0", database_url=f"sqlite:///{file}", drain_grace_s=1.0, **known)


def store_answers(service: str, file: Path) -> None:
    expires = datetime.now(UTC) + timedelta(days=1)
    rows = [
        (
            *("acme", "alice", "run-1", path(method), KEY),
            calls._digest(request_to(method)),
            STORED,
            int(expires.timestamp() * 1_000_000),
        )
        for method in mutating(service)
        if method.input_type.full_name in SMALLEST
    ]
    with sqlite3.connect(file) as database:
        if rows:
            # A service may have columns of its own beside these.
            insert = (
                "INSERT INTO request"
                " (tenant, subject, acting_run, method, key, digest, body, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            )
            database.executemany(insert, rows)
    database.close()


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def request_to(method: MethodDescriptor, key: str = KEY) -> Any:
    request = message_factory.GetMessageClass(method.input_type)()
    if method.input_type.full_name in SMALLEST:
        request.CopyFrom(SMALLEST[method.input_type.full_name])
    request.request_id = key
    return request


@pytest.mark.parametrize("service", SERVICES)
async def test_a_stored_answer_is_given_to_whom_it_was_given_first_and_to_nobody_else(
    service: str, tmp_path: Path
) -> None:
    async with answering(service, tmp_path) as server:
        for method in await server.served(service):
            # when whoever was answered asks again, also through another service
            repeats = [await server.outcome(method, caller(name)) for name in ("gateway", "router")]

            # and others ask the same under the same key
            given = {
                other: await server.outcome(method, metadata) for other, metadata in OTHERS.items()
            }

            # then only the former get what is stored, before any state was read
            assert repeats == [STORED, STORED], method.full_name
            wrong = (STORED, grpc.StatusCode.INTERNAL)
            assert {who for who, answer in given.items() if answer in wrong} == set(), method.name


@pytest.mark.parametrize("service", SERVICES)
async def test_credential_and_role_come_first_and_an_illegal_request_id_is_refused(
    service: str, tmp_path: Path
) -> None:
    # given
    refusals = {
        "no credential": [("on-behalf-of", "tenant=acme&principal=alice&run=run-1")],
        "no role": [(NAME, "alice"), (TENANT, "acme"), (ROLES, "")],
        "a role that may not act for others": caller(roles="agent"),
    }
    denied = grpc.StatusCode.PERMISSION_DENIED

    async with answering(service, tmp_path) as server:
        for method in await server.served(service):
            # when
            codes = [await server.outcome(method, metadata) for metadata in refusals.values()]
            illegal = await server.outcome(method, caller(), key="a\nb")

            # then
            assert codes == [grpc.StatusCode.UNAUTHENTICATED, denied, denied], method.full_name
            assert illegal is grpc.StatusCode.INVALID_ARGUMENT, method.full_name


def test_every_smallest_request_is_one_of_an_rpc() -> None:
    rpcs = {method.input_type.full_name for each in proto_services() for method in each.methods}
    changing = {method.input_type.full_name for each in SERVICES for method in mutating(each)}
    assert SMALLEST.keys() <= rpcs
    assert len(SMALLEST.keys() & changing) >= 18
