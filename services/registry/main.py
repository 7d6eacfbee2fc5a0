"""The registry's process: wires its rooms together."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from runyard.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from services.chassis.observe.metrics import measuring
from services.chassis.server.definition import Assembly, ServiceDefinition
from services.chassis.server.service import Chassis, Servicer
from services.chassis.store.port import Store
from services.chassis.store.schema import Schema
from services.registry.api.policy import FULL_NAME, POLICY
from services.registry.api.resources.codec import ProtobufCodec
from services.registry.api.servicer import RegistryServicer
from services.registry.api.sizes import SIZES
from services.registry.core.changes.applying import MAX_RESOURCES, Applier
from services.registry.core.changes.provider_lifecycle import ProviderLifecycle
from services.registry.core.history.history import History
from services.registry.core.history.retaining import RetentionPolicy
from services.registry.core.ports import Store as RegistryStore
from services.registry.core.registry import Registry
from services.registry.core.rules.validating import MAX_RESOURCE_BYTES
from services.registry.engine.content_hashes import ContentHashes
from services.registry.engine.metering import report_version
from services.registry.engine.retention import Retention
from services.registry.engine.streams import SnapshotStreams
from services.registry.settings import RegistrySettings
from services.registry.store.store import SNAPSHOT_CHANNEL, SqlStore
from services.registry.store.tables import MIGRATIONS, metadata
from services.wire.server_info import server_info_servicer

LIMITS = {
    "max_resource_bytes": MAX_RESOURCE_BYTES,
    "max_resources_per_apply": MAX_RESOURCES,
}


async def assemble(settings: RegistrySettings, chassis: Chassis, database: Store) -> Assembly:
    """Initialise the store, start the loops, and return what to serve."""
    store = SqlStore(database, chassis.clock)
    await store.initialise(chassis.ids.new_id())
    codec = ProtobufCodec()
    registry = Registry(store, codec, chassis.clock)
    applier = Applier(store, codec, chassis.clock)
    providers = ProviderLifecycle(store, codec, chassis.clock)
    streams = SnapshotStreams(
        store,
        registry,
        notifier=chassis.notifier,
        channel=SNAPSHOT_CHANNEL,
        clock=chassis.clock,
        drain=chassis.drain,
    )
    history = History(store, codec, chassis.clock)
    _start_loops(settings, chassis, store)
    servicer = RegistryServicer(registry, applier, providers, history, streams, chassis.clock)
    add = partial(add_RegistryServiceServicer_to_server, servicer)
    return Assembly([Servicer(FULL_NAME, add)])


def _start_loops(settings: RegistrySettings, chassis: Chassis, store: RegistryStore) -> None:
    retention = RetentionPolicy(settings.keep_versions, timedelta(days=settings.keep_days))
    hashes = ContentHashes(
        store, notifier=chassis.notifier, channel=SNAPSHOT_CHANNEL, clock=chassis.clock
    )
    chassis.tasks.start("retention", Retention(store, retention, chassis.clock).run)
    chassis.tasks.start("content hashes", hashes.run)
    if measuring():
        shown = partial(report_version, store, chassis.notifier, SNAPSHOT_CHANNEL)
        chassis.tasks.start("version gauge", shown)


SERVICE = ServiceDefinition(
    settings=RegistrySettings,
    schema=Schema(metadata, MIGRATIONS),
    policy=POLICY,
    sizes=SIZES,
    assemble=assemble,
    server_info=server_info_servicer,
    limits=LIMITS,
)
