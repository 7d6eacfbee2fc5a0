"""The router process: wires its rooms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from runyard.provider.v1.provider_service_pb2_grpc import (
    add_InferenceProviderServiceServicer_to_server,
)
from runyard.registry.v1 import registry_pb2
from runyard.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from services.chassis import process
from services.chassis.channel import open_channel
from services.chassis.kept_snapshot import Key, SqlKeptSnapshot
from services.chassis.service import Chassis, ServerFacts, Service, Servicer
from services.chassis.store.opening import Tuning, open_store
from services.chassis.store.port import Store
from services.chassis.store.schema import Schema
from services.router.api.decode import MAX_MESSAGES, MAX_TOOLS
from services.router.api.policy import POLICY, PROVIDER, ROUTER
from services.router.api.servicer import ProviderServicer, RouterServicer
from services.router.clients.builtin import BuiltinAdapter
from services.router.clients.openai import OpenAiAdapter, open_session
from services.router.clients.snapshot import SnapshotBuilder
from services.router.core.model import Adapter, Builtin, OpenAi, Snapshot
from services.router.core.pins import CAPACITY, Pins
from services.router.core.ports import Inference, ProviderAdapter
from services.router.engine.inference import MAX_FRAME_BYTES, MAX_FRAME_ITEMS, StreamInference
from services.router.engine.pin_writer import PinWriter
from services.router.engine.routing import Routing
from services.router.engine.visits import Machinery
from services.router.engine.watchdog import Watchdog
from services.router.settings import RouterSettings
from services.router.store.pin_store import SqlPinStore
from services.router.store.tables import MIGRATIONS, kept_tables, metadata
from services.wire.server_info import FULL_NAME as SERVER_INFO
from services.wire.server_info import server_info_servicer
from services.wire.snapshot import SnapshotConsumer

ERROR_DOMAIN = "router.runyard.dev"
LIMITS = {
    "max_frame_bytes": MAX_FRAME_BYTES,
    "max_frame_items": MAX_FRAME_ITEMS,
    "max_messages_per_request": MAX_MESSAGES,
    "max_tools_per_request": MAX_TOOLS,
    "max_pins": CAPACITY,
}


async def build(settings: RouterSettings, chassis: Chassis) -> Service:
    """Open the store, follow the registry, and answer what to serve."""
    opening = open_store(
        settings.database_url,
        metadata=metadata,
        migrations=MIGRATIONS,
        clock=chassis.clock,
        notifier=chassis.notifier,
        tuning=Tuning.of(connections=settings.database_connections),
    )
    store = await chassis.stack.enter_async_context(opening)
    pins = await _pins(store, chassis)
    snapshots = await _snapshots(settings, store, chassis)
    inference = StreamInference(snapshots, await _machinery(pins, chassis))
    facts = ServerFacts.of("router", store.info, [ROUTER, PROVIDER, SERVER_INFO], LIMITS, POLICY)
    return Service(
        name="router",
        error_domain=ERROR_DOMAIN,
        servicers=[*_servicers(inference), server_info_servicer(facts)],
        policy=POLICY,
        server_info=facts,
        ready=lambda: snapshots.current is not None,
    )


async def _pins(store: Store, chassis: Chassis) -> Pins:
    pins = Pins()
    writer = PinWriter(pins, SqlPinStore(store), chassis.clock)
    await writer.load()
    chassis.tasks.start("pin-writer", writer.run)
    # Loops end before the stack closes: this writes what their last round left.
    chassis.stack.push_async_callback(writer.flush)
    return pins


async def _snapshots(
    settings: RouterSettings, store: Store, chassis: Chassis
) -> SnapshotConsumer[Snapshot]:
    channel = await chassis.stack.enter_async_context(
        open_channel(settings.registry_target, peers=chassis.peers)
    )
    kept = SqlKeptSnapshot(store, kept_tables)
    builder = SnapshotBuilder()

    def routable(
        resources: Mapping[Key, registry_pb2.Resource], version: int, incarnation: str
    ) -> Snapshot:
        return builder.build(resources.values(), version, incarnation)

    snapshots = SnapshotConsumer(channel, kept, routable, chassis.clock, chassis.drain)
    await snapshots.load()
    chassis.tasks.start("registry-watch", snapshots.run)
    return snapshots


async def _machinery(pins: Pins, chassis: Chassis) -> Machinery:
    session = await chassis.stack.enter_async_context(open_session())
    adapters: Mapping[type[Adapter], ProviderAdapter] = {
        Builtin: BuiltinAdapter(chassis.clock),
        OpenAi: OpenAiAdapter(session, chassis.clock),
    }
    watchdog = Watchdog(chassis.clock)
    chassis.tasks.start("watchdog", watchdog.run)
    return Machinery(adapters, Routing(pins), watchdog, chassis.clock, chassis.ids)


def _servicers(inference: Inference) -> list[Servicer]:
    router = partial(add_RouterServiceServicer_to_server, RouterServicer(inference))
    provider = partial(add_InferenceProviderServiceServicer_to_server, ProviderServicer())
    return [Servicer(ROUTER, router), Servicer(PROVIDER, provider)]


def schema() -> Schema:
    """Of the database, for commands that prepare or examine one."""
    return Schema(metadata, MIGRATIONS)


def main() -> int:
    """Serve until a signal; answer the exit code."""
    return process.run(RouterSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
