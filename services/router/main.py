"""The router process: creates and connects its parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import random

from runyard.registry.v1 import registry_pb2
from runyard.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from services.chassis.calls.channel import open_channel
from services.chassis.server.definition import Assembly, ServiceDefinition
from services.chassis.server.service import Chassis, Servicer
from services.chassis.store.kept_snapshot import Key, SqlKeptSnapshot
from services.chassis.store.port import Store
from services.chassis.store.schema import Schema
from services.router.api.policy import FULL_NAME, POLICY
from services.router.api.servicer import RouterServicer
from services.router.api.sizes import SIZES
from services.router.clients.anthropic import AnthropicAdapter
from services.router.clients.builtin import BuiltinAdapter
from services.router.clients.credentials import digest_of, look
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_provider import GrpcAdapter
from services.router.clients.http_calls import HttpCalls, open_session
from services.router.clients.openai import OpenAiAdapter
from services.router.clients.snapshot import SnapshotBuilder
from services.router.core.limits import (
    MAX_FRAME_BYTES,
    MAX_FRAME_ITEMS,
    MAX_MESSAGES,
    MAX_PAGE,
    MAX_TOOLS,
)
from services.router.core.model import Adapter, Anthropic, Builtin, Grpc, OpenAi, Snapshot
from services.router.core.pins import CAPACITY, Pins
from services.router.core.ports import ProviderAdapter, Snapshots
from services.router.engine.attempt import Watchdog
from services.router.engine.changes import RoutingChanges
from services.router.engine.control import RoutingControl
from services.router.engine.inference import StreamInference
from services.router.engine.retries import Retries
from services.router.engine.routed_call import InferenceDependencies
from services.router.engine.routing_state import RoutingState
from services.router.engine.state_sharing import StateSharing
from services.router.engine.state_watches import StateWatches
from services.router.engine.telemetry_names import CIRCUITS, RETRY_TOKENS
from services.router.settings import RouterSettings
from services.router.store.router_store import CHANNEL, SqlRouterStore
from services.router.store.tables import MIGRATIONS, kept_tables, metadata
from services.wire.server_info import server_info_servicer
from services.wire.snapshot import SnapshotConsumer

LIMITS = {
    "max_frame_bytes": MAX_FRAME_BYTES,
    "max_frame_items": MAX_FRAME_ITEMS,
    "max_messages_per_request": MAX_MESSAGES,
    "max_tools_per_request": MAX_TOOLS,
    "max_page_size": MAX_PAGE,
    "max_pins": CAPACITY,
}


async def assemble(settings: RouterSettings, chassis: Chassis, database: Store) -> Assembly:
    """Follow the registry, load the shared state, and answer what to serve."""
    changes = RoutingChanges()
    routing = await _routing(changes, database, chassis)
    channels = _channels(chassis)
    snapshots = await _snapshots(settings, database, chassis, channels)
    dependencies = await _dependencies(routing, chassis, channels)
    inference = StreamInference(snapshots, dependencies)
    instance_id = chassis.ids.new_id()
    control = RoutingControl(snapshots, routing, chassis.clock, instance_id)
    chassis.stack.enter_context(CIRCUITS.observing(control.circuits))
    chassis.stack.enter_context(RETRY_TOKENS.observing(dependencies.retries.observed))
    watches = _watches(snapshots, routing, changes, chassis, instance_id)
    servicer = RouterServicer(inference, control, watches)
    add = partial(add_RouterServiceServicer_to_server, servicer)
    return Assembly(
        [Servicer(FULL_NAME, add)],
        ready=lambda: snapshots.current is not None,
        # Calls need the snapshot and the routing state in memory; what changes is written later.
        serves_without_store=True,
    )


async def _routing(changes: RoutingChanges, store: Store, chassis: Chassis) -> RoutingState:
    routing = RoutingState(Pins(changes=changes), digest_of, changes)
    stored = SqlRouterStore(store)
    sharing = StateSharing(routing, changes, stored, chassis.clock, CHANNEL)
    await sharing.load()
    chassis.tasks.start("state-sharing", partial(sharing.run, chassis.notifier))
    # Runs after the loop has ended, and writes the changes since its last flush.
    chassis.stack.push_async_callback(sharing.flush)
    return routing


def _channels(chassis: Chassis) -> GrpcChannels:
    channels = GrpcChannels()
    chassis.tasks.start("provider-channels", channels.run)
    chassis.stack.push_async_callback(channels.close)
    return channels


async def _snapshots(
    settings: RouterSettings, store: Store, chassis: Chassis, channels: GrpcChannels
) -> SnapshotConsumer[Snapshot]:
    channel = await chassis.stack.enter_async_context(
        open_channel(settings.registry_target, peers=chassis.peers)
    )
    kept = SqlKeptSnapshot(store, kept_tables)
    builder = SnapshotBuilder()

    def routable(
        resources: Mapping[Key, registry_pb2.Resource], version: int, incarnation: str
    ) -> Snapshot:
        snapshot = builder.build(resources.values(), version, incarnation)
        channels.keep(snapshot)
        return snapshot

    snapshots = SnapshotConsumer(channel, kept, routable, chassis.clock, chassis.drain)
    await snapshots.load()
    chassis.tasks.start("registry-watch", snapshots.run)
    return snapshots


def _watches(
    snapshots: Snapshots,
    routing: RoutingState,
    changes: RoutingChanges,
    chassis: Chassis,
    instance_id: str,
) -> StateWatches:
    notifier, clock, drain = chassis.notifier, chassis.clock, chassis.drain
    watches = StateWatches(snapshots, routing, notifier, clock, drain, instance_id)
    changes.watch = watches.changed
    chassis.tasks.start("state-watches", watches.run)
    return watches


async def _dependencies(
    routing: RoutingState, chassis: Chassis, channels: GrpcChannels
) -> InferenceDependencies:
    session = await chassis.stack.enter_async_context(open_session())
    calls = HttpCalls(session, chassis.clock)
    adapters: Mapping[type[Adapter], ProviderAdapter] = {
        Builtin: BuiltinAdapter(chassis.clock),
        OpenAi: OpenAiAdapter(calls),
        Anthropic: AnthropicAdapter(calls),
        Grpc: GrpcAdapter(channels, chassis.clock),
    }
    watchdog = Watchdog(chassis.clock)
    chassis.tasks.start("watchdog", watchdog.run)
    retries = Retries(chassis.clock, random)
    return InferenceDependencies(
        adapters, routing, retries, watchdog, chassis.clock, chassis.ids, look
    )


SERVICE = ServiceDefinition(
    settings=RouterSettings,
    schema=Schema(metadata, MIGRATIONS),
    policy=POLICY,
    sizes=SIZES,
    assemble=assemble,
    server_info=server_info_servicer,
    limits=LIMITS,
)
