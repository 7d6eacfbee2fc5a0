"""Stubs of the four services, and what their errors mean to the user of a command."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import grpc

from services.chassis.access.peers import Peers
from services.chassis.calls.channel import open_channel
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.startup import StartupRefusedError
from services.cli.base.exits import EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, CliError
from services.cli.base.services import SERVICES
from services.cli.talk.credentials import TOKEN_FILE_VARIABLE, read_peers
from services.cli.talk.reaching import WHERE_HINT, unreached, wrong_server

# A command talks to one or two of the services: the stubs of the others are not imported.
if TYPE_CHECKING:
    from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
    from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
    from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
    from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub

CALL_TIMEOUT_S = 30.0

_EXITS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: EXIT_USAGE,
    grpc.StatusCode.UNAVAILABLE: EXIT_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: EXIT_UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: EXIT_UNAVAILABLE,
}

HINTS: Mapping[str, str] = {
    "AGENT_NOT_FOUND": "apply a manifest that has it: runyard apply -f FILE",
    "TARGET_NOT_FOUND": "apply a manifest that has it: runyard apply -f FILE",
    "RUN_NOT_FOUND": "check the run's id; runyard run prints it",
    "NO_OPEN_RUN": "leave --mode resume out to queue a run for it",
    "ALREADY_CONSUMED": "say something new: runyard inject thread THREAD TEXT",
    "STALE_REVISION": "see what it says now, and its revision: runyard inject list THREAD",
    "CALL_NOT_FOUND": "see the calls of the run: runyard watch run RUN",
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

# With these a server answers calls of another service.
_OF_A_WRONG_SERVER = {
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}
# The end of the domain in the errors of every service.
_DOMAIN = ".runyard.dev"
# Who answers at an address is asked beside an error that is told already.
_WHO_TIMEOUT_S = 2.0


Request = TypeVar("Request")
Response = TypeVar("Response")


class Clients:
    """Stubs over one channel per service; channels connect when they are first used."""

    def __init__(self, endpoints: Mapping[str, str], channels: Mapping[str, grpc.aio.Channel]):
        self.endpoints = endpoints
        self.channels = channels

    @cached_property
    def registry(self) -> RegistryServiceStub:
        from runyard.registry.v1.registry_service_pb2_grpc import (  # noqa: PLC0415  # as above
            RegistryServiceStub,
        )

        return RegistryServiceStub(self.channels["registry"])

    @cached_property
    def router(self) -> RouterServiceStub:
        from runyard.router.v1.router_service_pb2_grpc import (  # noqa: PLC0415  # as above
            RouterServiceStub,
        )

        return RouterServiceStub(self.channels["router"])

    @cached_property
    def runcontrol(self) -> RunControlServiceStub:
        from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import (  # noqa: PLC0415  # as above
            RunControlServiceStub,
        )

        return RunControlServiceStub(self.channels["runcontrol"])

    @cached_property
    def pool(self) -> PoolServiceStub:
        from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub  # noqa: PLC0415  # as above

        return PoolServiceStub(self.channels["pool"])

    async def call(
        self,
        service: str,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
    ) -> Response:
        """The answer of a unary method of the service's stub.

        Raises:
            CliError: What its error means to the user.
        """
        async with self.talking_to(service):
            return await method(request, timeout=CALL_TIMEOUT_S)

    @asynccontextmanager
    async def talking_to(self, service: str) -> AsyncIterator[None]:
        """Turn the errors of calls in the block into ones that a user can act on."""
        began_s = time.monotonic()
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise await self.explained(service, error, time.monotonic() - began_s) from error

    async def explained(
        self, service: str, error: grpc.aio.AioRpcError, took_s: float = 0.0
    ) -> CliError:
        """The error that a user sees for one of a call to ``service``, which took so long."""
        target = self.endpoints[service]
        facts = reason_of(error)
        if not facts.reason and facts.code is grpc.StatusCode.UNAVAILABLE:
            return unreached(service, target, facts.message, took_s)
        if facts.code not in _OF_A_WRONG_SERVER:
            return explain_error(service, target, error)
        answers = facts.domain.removesuffix(_DOMAIN) or await self._who_answers(service)
        # The right server may refuse a caller, or be of a release that lacks the method.
        if answers == service or (not answers and facts.code is not grpc.StatusCode.UNIMPLEMENTED):
            return explain_error(service, target, error)
        return wrong_server(service, target, answers)

    async def _who_answers(self, service: str) -> str:
        """The service that the server at its address says it is; empty for none of ours."""
        from runyard.types.v1.server_info_service_pb2 import (  # noqa: PLC0415  # asked seldom
            GetServerInfoRequest,
        )
        from runyard.types.v1.server_info_service_pb2_grpc import (  # noqa: PLC0415
            ServerInfoServiceStub,
        )

        ask = ServerInfoServiceStub(self.channels[service]).GetServerInfo
        try:
            return str((await ask(GetServerInfoRequest(), timeout=_WHO_TIMEOUT_S)).service)
        except grpc.aio.AioRpcError:
            return ""


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


def explain_error(service: str, target: str, error: grpc.aio.AioRpcError) -> CliError:
    """The error that a user sees for ``error``, with what to do next."""
    facts = reason_of(error)
    exit_code = _EXITS.get(facts.code, EXIT_FAILED)
    if not facts.reason and facts.code is grpc.StatusCode.UNAVAILABLE:
        return unreached(service, target, facts.message)
    if not facts.reason and facts.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CliError(
            f"{service} at {target} did not answer in time",
            reason=facts.code.name,
            hint=f"see its log; if it does not run there, {WHERE_HINT}",
            exit_code=exit_code,
        )
    return CliError(
        facts.message or facts.code.name.lower(),
        reason=facts.reason or facts.code.name,
        hint=_hint(facts),
        details=tuple(f"{v.field}: {v.description}" for v in facts.violations),
        exit_code=exit_code,
        facts=facts.metadata,
    )


def _hint(facts: ErrorFacts) -> str:
    if facts.retry_after_s is not None:
        # Rounded up, so that nobody comes too early.
        return f"try again in {math.ceil(facts.retry_after_s * 10) / 10:g} s"
    return HINTS.get(facts.reason, "")
