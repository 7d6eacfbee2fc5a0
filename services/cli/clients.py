"""Stubs of the four services, and what their errors mean to the user of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import grpc

from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.access.peers import Peers
from services.chassis.channel import open_channel
from services.chassis.rpc_status import ErrorFacts, reason_of
from services.chassis.startup import StartupRefusedError
from services.cli.credentials import CA_VARIABLE, TOKEN_FILE_VARIABLE, read_peers
from services.cli.exits import EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, CliError
from services.cli.plan import SERVICES

CALL_TIMEOUT_S = 30.0

_EXITS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: EXIT_USAGE,
    grpc.StatusCode.UNAVAILABLE: EXIT_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: EXIT_UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: EXIT_UNAVAILABLE,
}

_HINTS: Mapping[str, str] = {
    "AGENT_NOT_FOUND": "apply a manifest that has it: runyard apply -f FILE",
    "TARGET_NOT_FOUND": "apply a manifest that has it: runyard apply -f FILE",
    "RUN_NOT_FOUND": "check the run's id; runyard run prints it",
    "TICKET_NOT_FOUND": "see which tickets are open: runyard tickets",
    "SNAPSHOT_MISSING": "is the registry running? start everything with: runyard up",
    "UNAUTHENTICATED": f"set {TOKEN_FILE_VARIABLE} to a file with your token; "
    "whoever runs the server makes one with: runyard token new",
    "PERMISSION_DENIED": "use a token with one of the roles it names",
    "POOL_NOT_FOUND": "open it: runyard pool open ID",
    "RESOURCE_NOT_FOUND": "see what there is: runyard get",
    "RESOURCE_EXISTS": "update it with --mode upsert, which is the default",
    "PROVIDER_EXISTS": "replace it: runyard provider replace -f FILE",
    "PROVIDER_NOT_FOUND": "see what there is: runyard get providers",
    "VERSION_MISMATCH": "see what changed meanwhile: runyard diff; then decide anew",
    "VERSION_NOT_FOUND": "see which versions are kept: runyard versions",
}


_REACH_HINT = (
    "start the servers with: runyard up; or say where they are: RUNYARD_ENDPOINTS or --endpoint"
)
# What the transport says, in part, and what that means.
_CONNECTING_HINTS: Mapping[str, str] = {
    "handshake": f"{CA_VARIABLE} has to name the authority that signed the server's certificate; "
    "unset it for a server without TLS",
    "socket closed": f"if the server asks for TLS, set {CA_VARIABLE} to the authority that signed "
    "its certificate",
}


class Clients:
    """Stubs over one channel per service; channels connect when they are first used."""

    def __init__(self, endpoints: Mapping[str, str], channels: Mapping[str, grpc.aio.Channel]):
        self.endpoints = endpoints
        self.channels = channels
        self.registry = RegistryServiceStub(channels["registry"])
        self.router = RouterServiceStub(channels["router"])
        self.runcontrol = RunControlServiceStub(channels["runcontrol"])
        self.pool = PoolServiceStub(channels["pool"])

    @contextmanager
    def talking_to(self, service: str) -> Iterator[None]:
        """Turn the errors of calls in the block into ones that a user can act on."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise explained(service, self.endpoints[service], error) from error


@asynccontextmanager
async def connected(endpoints: Mapping[str, str]) -> AsyncIterator[Clients]:
    peers = read_peers()
    channels: dict[str, grpc.aio.Channel] = {}
    try:
        for service in SERVICES:
            tokens = service in {"router", "runcontrol"}
            channels[service] = peer_channel(endpoints[service], peers, tokens=tokens)
        yield Clients(endpoints, channels)
    finally:
        for channel in channels.values():
            await channel.close()


def peer_channel(target: str, peers: Peers, *, tokens: bool = False) -> grpc.aio.Channel:
    """A channel with the credentials of the command.

    Raises:
        CliError: The token would travel unencrypted.
    """
    try:
        return open_channel(target, peers=peers, tokens=tokens)
    except StartupRefusedError as error:
        raise CliError(str(error), reason="CREDENTIALS", exit_code=EXIT_USAGE) from None


def explained(service: str, target: str, error: grpc.aio.AioRpcError) -> CliError:
    """What ``error`` means, and what to do next."""
    facts = reason_of(error)
    exit_code = _EXITS.get(facts.code, EXIT_FAILED)
    if not facts.reason and facts.code is grpc.StatusCode.UNAVAILABLE:
        return CliError(
            f"cannot reach {service} at {target}",
            reason="UNREACHABLE",
            hint=_connecting_hint(facts.message),
            exit_code=exit_code,
        )
    return CliError(
        facts.message or facts.code.name.lower(),
        reason=facts.reason or facts.code.name,
        hint=_hint(facts),
        details=tuple(f"{v.field}: {v.description}" for v in facts.violations),
        exit_code=exit_code,
    )


def _connecting_hint(said: str) -> str:
    hints = (hint for part, hint in _CONNECTING_HINTS.items() if part in said.lower())
    return next(hints, _REACH_HINT)


def _hint(facts: ErrorFacts) -> str:
    if facts.retry_after_s is not None:
        return f"try again in {facts.retry_after_s:g} s"
    return _HINTS.get(facts.reason, "")
