"""What ``runyard doctor`` asks servers: identity, health, versions and snapshots.

Nothing here has an effect: the probes of router and run control name targets that cannot exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runyard.registry.v1.registry_service_pb2 import ListResourcesRequest
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.runcontrol.v1.runcontrol_service_pb2 import SubmitRunRequest
from runyard.types.v1.content_pb2 import MESSAGE_ROLE_USER, Message, Part, Text
from runyard.types.v1.server_info_service_pb2 import GetServerInfoRequest, GetServerInfoResponse
from runyard.types.v1.server_info_service_pb2_grpc import ServerInfoServiceStub
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.calls.streaming import streaming
from services.chassis.version import distribution_version
from services.cli.base.exits import CliError
from services.cli.base.services import GRPC_NAMES, SERVICES
from services.cli.checks.findings import Finding, fail, ok, warn
from services.cli.talk.clients import Clients, explain_error

# A running server answers in milliseconds.
LOOK_S = 3.0
# A consumer waits up to 2 s for a version before it says that it is behind.
_PROBE_S = 5.0

_NOT_SERVING: Mapping[str, str] = {
    "router": "it serves as soon as it has a registry snapshot: is the registry up, and its "
    "RUNYARD_ROUTER_REGISTRY_TARGET right?",
}

# Causes after which only a restored database helps.
_LOST = ("FILE_", "LOG_", "SQLITE_CORRUPT", "SQLITE_NOTADB", "DATA_", "INDEX_", "UNDEFINED_FILE")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server answers at one address.

    Attributes:
        info: The server's own description; None when it did not answer.
        serving: What its health says.
        refusal: Why there is no ``info``, and what to do about it.
    """

    service: str
    target: str
    info: GetServerInfoResponse | None
    serving: bool = False
    refusal: CliError | None = None


async def look(service: str, target: str, channel: grpc.aio.Channel) -> ServerStatus:
    """Ask the server at ``target``."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # so it ships
    request = health_pb2.HealthCheckRequest(service=GRPC_NAMES[service])
    try:
        info = await ServerInfoServiceStub(channel).GetServerInfo(
            GetServerInfoRequest(), timeout=LOOK_S
        )
        answer = await health.Check(request, timeout=LOOK_S)
    except grpc.aio.AioRpcError as error:
        return ServerStatus(service, target, None, refusal=explain_error(service, target, error))
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return ServerStatus(service, target, info, serving)


async def look_at_all(clients: Clients) -> dict[str, ServerStatus]:
    """The four servers, at once."""
    looks = (look(name, clients.endpoints[name], clients.channels[name]) for name in SERVICES)
    return {sight.service: sight for sight in await asyncio.gather(*looks)}


def server(sight: ServerStatus, *, expected: bool) -> Finding:
    """Whether it is the right one and serves.

    Args:
        expected: Whether a missing server is a failure, not a warning.
    """
    check = f"server {sight.service}"
    info = sight.info
    if info is None:
        judged = fail if expected else warn
        said = sight.refusal or CliError("it said nothing")
        return judged(check, f"{said.message} [{said.reason}]", said.hint or "see its log")
    if info.service != sight.service:
        hint = "correct RUNYARD_ENDPOINTS or --endpoint"
        return fail(check, f"at {sight.target} answers {info.service or 'something else'}", hint)
    away = info.store_unavailable_cause
    if not sight.serving and away:
        return fail(check, f"{sight.target} does not serve: {_no_writes(info)}", _store_hint(away))
    if not sight.serving:
        hint = _NOT_SERVING.get(sight.service, "it starts or drains; its log says which")
        return fail(check, f"{sight.target} answers, but does not serve", hint)
    if away:
        lost = "it keeps pins and registry snapshots in memory alone"
        text = f"{sight.target} serves, but {_no_writes(info)}: {lost}"
        return warn(check, text, _store_hint(away))
    facts = f"runyard {info.version}, {info.store_engine} {info.store_version}"
    return ok(check, f"{sight.target} serves: {facts}, durability {info.durability}")


def _no_writes(info: GetServerInfoResponse) -> str:
    return f"its {info.store_engine} database takes no writes ({info.store_unavailable_cause})"


def _store_hint(cause: str) -> str:
    if cause.startswith(_LOST):
        return "stop the server, restore the database and start it again: docs/ops/backup.md"
    return "start the database, or make room on its disk: the server notices by itself"


def versions(sights: Collection[ServerStatus]) -> Iterator[Finding]:
    """Whether the servers and this command are of one release; nothing when no server answers."""
    here = distribution_version()
    found = {one.service: one.info.version for one in sights if one.info}
    others = {service: version for service, version in found.items() if version != here}
    if others:
        listed = ", ".join(f"{service} {version}" for service, version in others.items())
        yield warn(
            "versions", f"{listed}; this command is {here}", "install one release everywhere"
        )
    elif found:
        yield ok("versions", f"servers and command are {here}")


async def snapshots(clients: Clients, sights: Mapping[str, ServerStatus]) -> AsyncIterator[Finding]:
    """The registry's version, and whether its consumers have it."""
    if not sights["registry"].serving:
        return
    try:
        head = await _head(clients)
    except grpc.aio.AioRpcError as error:
        said = explain_error("registry", clients.endpoints["registry"], error)
        yield warn("snapshot registry", said.message, said.hint or "use credentials that may read")
        return
    yield ok("snapshot registry", f"version {head}")
    for service, probe in (("router", _router_at), ("runcontrol", _runcontrol_at)):
        if sights[service].info is not None:
            yield _seen(service, head, await _refusal(probe(clients, head)))


def _seen(service: str, head: int, refusal: ErrorFacts) -> Finding:
    """The version of the consumer's snapshot, from the refusal of a probe."""
    check = f"snapshot {service}"
    match refusal.reason:
        case "TARGET_NOT_FOUND" | "AGENT_NOT_FOUND":
            return ok(check, f"has version {head}")
        case "SNAPSHOT_BEHIND":
            current = refusal.metadata.get("current", "an older one")
            hint = f"is its RUNYARD_{service.upper()}_REGISTRY_TARGET this registry? see its log"
            return fail(check, f"has version {current}, the registry is at {head}", hint)
        case _:
            words = f"{refusal.reason or refusal.code.name}: {refusal.message}"
            return warn(check, f"does not tell: {words}", "use credentials that may call it")


async def _refusal(probe: Awaitable[None]) -> ErrorFacts:
    try:
        await probe
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    raise RuntimeError("a call for what does not exist was answered")


async def _head(clients: Clients) -> int:
    request = ListResourcesRequest(page_size=1)
    return int((await clients.registry.ListResources(request, timeout=_PROBE_S)).version)


async def _router_at(clients: Clients, version: int) -> None:
    """Ask for a model that does not exist, at ``version``: always refused."""
    request = InferRequest(
        target_id=_unknown_id(), messages=[_short_message()], min_registry_version=version
    )
    async with streaming(clients.router.Infer(request, timeout=_PROBE_S)) as call:
        async for _ in call:
            return


async def _runcontrol_at(clients: Clients, version: int) -> None:
    """Submit a run of an agent that does not exist, at ``version``: always refused."""
    request = SubmitRunRequest(
        agent_id=_unknown_id(), messages=[_short_message()], min_registry_version=version
    )
    await clients.runcontrol.SubmitRun(request, timeout=_PROBE_S)


def _unknown_id() -> str:
    return f"runyard-doctor-{uuid4()}"


def _short_message() -> Message:
    return Message(role=MESSAGE_ROLE_USER, parts=[Part(text=Text(text="?"))])
