"""A service, declared: what its process is started with, and what it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeAlias

from services.chassis.access.policy import MethodPolicy
from services.chassis.protobuf.sizes import Sizes
from services.chassis.server import process
from services.chassis.server.service import Chassis, S, ServerFacts, Service, Servicer
from services.chassis.store.opening import Tuning, open_store
from services.chassis.store.port import Store
from services.chassis.store.schema import Schema


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a service is made of once its store is open.

    Attributes:
        ready: Health says SERVING while it answers True; None = always. Asked often: no I/O.
        serves_without_store: Health says SERVING also while the database takes no writes.
        hand_back: Gives claimed work back when the server stops, before running calls are cut.
        limits: Those that settings decide, by a name that ends in their unit.
    """

    servicers: Sequence[Servicer]
    ready: Callable[[], bool] | None = None
    serves_without_store: bool = False
    hand_back: Callable[[], Awaitable[None]] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


Assemble: TypeAlias = Callable[[S, Chassis, Store], Awaitable[Assembly]]


@dataclass(frozen=True, slots=True)
class ServiceDefinition(Generic[S]):
    """One service.

    Attributes:
        settings: Names the service, and is read from the environment of its process.
        schema: Of its database.
        policy: A row for every method of its servicers.
        assemble: Connects its rooms to the open store, and starts its loops.
        server_info: The servicer of ``GetServerInfo``, whose contract the chassis does not know.
        sizes: Of its requests.
        limits: In force whatever the settings say, by a name that ends in their unit.
    """

    settings: type[S]
    schema: Schema
    policy: Mapping[str, MethodPolicy]
    sizes: Sizes
    assemble: Assemble[S]
    server_info: Callable[[ServerFacts], Servicer]
    limits: Mapping[str, int] = field(default_factory=dict)

    async def build(self, settings: S, chassis: Chassis) -> Service:
        """Open the store, migrated if need be, and answer what to serve."""
        opening = open_store(
            settings.database_url,
            metadata=self.schema.metadata,
            migrations=self.schema.migrations,
            notifier=chassis.notifier,
            tuning=Tuning.of(connections=settings.database_connections),
        )
        store = await chassis.stack.enter_async_context(opening)
        made = await self.assemble(settings, chassis, store)
        name = self.settings.service()
        facts = ServerFacts.of(
            name,
            store.info,
            [servicer.full_name for servicer in made.servicers],
            {**self.limits, **made.limits},
            self.policy,
            store_unavailable_cause=lambda: store.unavailable_cause,
        )
        return Service(
            name=name,
            error_domain=f"{name}.runyard.dev",
            servicers=[*made.servicers, self.server_info(facts)],
            policy=self.policy,
            server_info=facts,
            ready=partial(_is_ready, made, store),
            hand_back=made.hand_back,
            sizes=self.sizes,
        )

    def main(self) -> int:
        """Serve until a signal; answer the exit code."""
        return process.run(self.settings, self.build)


def _is_ready(made: Assembly, store: Store) -> bool:
    if store.unavailable_cause and not made.serves_without_store:
        return False
    return made.ready is None or made.ready()
