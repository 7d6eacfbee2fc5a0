"""What a service gives to its process, and what it gets from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import grpc

from services.chassis.access.peers import Peers
from services.chassis.access.policy import MAX_REQUEST_BYTES, MethodPolicy, open_call_limits
from services.chassis.clock import Clock
from services.chassis.config.settings import ServiceSettings
from services.chassis.drain import Drain
from services.chassis.follow.notifier import Notifier
from services.chassis.ids import IdSource
from services.chassis.protobuf.sizes import NO_SIZES, Sizes
from services.chassis.server.revision import recorded_revision
from services.chassis.store.port import StoreInfo
from services.chassis.tasks import Tasks
from services.chassis.version import distribution_version

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service, as generated code registers it.

    Attributes:
        full_name: ``runyard.registry.v1.RegistryService``.
        add: ``partial(add_RegistryServiceServicer_to_server, RegistryServicer(...))``.
        policy: Rows that come with it; a service's own are in ``Service.policy``.
    """

    full_name: str
    add: Callable[[grpc.aio.Server], None]
    policy: Mapping[str, MethodPolicy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What ``GetServerInfo`` answers.

    Attributes:
        version: Of the distribution.
        commit: Source revision that the build recorded; empty when it recorded none.
        limits: In force, by a name that ends in its unit.
        grpc_services: Full names of the services served.
        store_unavailable_cause: Asked for each answer, as ``Store.unavailable_cause``.
    """

    service: str
    version: str
    commit: str
    store: StoreInfo
    limits: Mapping[str, int]
    grpc_services: tuple[str, ...]
    store_unavailable_cause: Callable[[], str] = field(default=str, compare=False)

    @classmethod
    def of(
        cls,
        service: str,
        store: StoreInfo,
        grpc_services: Sequence[str],
        limits: Mapping[str, int] | None = None,
        policy: Mapping[str, MethodPolicy] | None = None,
        store_unavailable_cause: Callable[[], str] = str,
    ) -> ServerFacts:
        """The facts of this distribution, with the limits of the chassis and of ``policy``."""
        every = {
            "max_request_bytes": MAX_REQUEST_BYTES,
            **open_call_limits(policy or {}),
            **(limits or {}),
        }
        revision = recorded_revision()
        return cls(
            service,
            distribution_version(),
            revision,
            store,
            every,
            tuple(grpc_services),
            store_unavailable_cause,
        )


@dataclass(frozen=True, slots=True)
class Service:
    """What a ``build`` function answers.

    Attributes:
        error_domain: ``registry.runyard.dev``.
        policy: A row for every method of ``servicers`` that brings none.
        ready: Health says SERVING while it answers True; None = always. Asked often: no I/O.
        hand_back: Gives claimed work back when the server stops, before running calls are cut.
        sizes: What is counted in large requests before they are parsed.
    """

    name: str
    error_domain: str
    servicers: Sequence[Servicer]
    policy: Mapping[str, MethodPolicy]
    server_info: ServerFacts
    ready: Callable[[], bool] | None = None
    hand_back: Callable[[], Awaitable[None]] | None = None
    sizes: Sizes = NO_SIZES


@dataclass(frozen=True, slots=True)
class Chassis:
    """What the process gives to ``build``.

    Attributes:
        stack: Closed last, in reverse order of entry: enter the store first, channels after it.
        tasks: Cancelled and awaited before ``stack`` is closed.
        peers: For channels to siblings.
    """

    clock: Clock
    ids: IdSource
    drain: Drain
    stack: AsyncExitStack
    tasks: Tasks
    notifier: Notifier
    peers: Peers


Build: TypeAlias = Callable[[S, Chassis], Awaitable[Service]]
