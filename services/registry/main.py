"""The registry's process: wires its rooms together."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from runyard.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from services.chassis import process
from services.chassis.metrics import measuring
from services.chassis.service import MAX_REQUEST_BYTES, Chassis, ServerFacts, Service, Servicer
from services.chassis.store.opening import Tuning, open_store
from services.chassis.store.schema import Schema
from services.registry.api.convert import encode_answer
from services.registry.api.convert_providers import encode_provider_answer
from services.registry.api.history import encode_rolled_back
from services.registry.api.policy import FULL_NAME, POLICY
from services.registry.api.resources import MAX_RESOURCE_BYTES, ProtobufCodec
from services.registry.api.servicer import RegistryServicer
from services.registry.core.applying import MAX_RESOURCES
from services.registry.core.history import History
from services.registry.core.history_ports import HistoryStore
from services.registry.core.provider_lifecycle import ProviderLifecycle
from services.registry.core.registry import Registry
from services.registry.core.retaining import Keeping
from services.registry.engine.hashing import ContentHashes
from services.registry.engine.metering import metered, show_version
from services.registry.engine.retention import Retention
from services.registry.engine.streams import SnapshotStreams
from services.registry.settings import RegistrySettings
from services.registry.store.registry_store import SNAPSHOT_CHANNEL, SqlRegistryStore
from services.registry.store.tables import MIGRATIONS, metadata
from services.wire.server_info import FULL_NAME as SERVER_INFO
from services.wire.server_info import server_info_servicer

ERROR_DOMAIN = "registry.runyard.dev"
LIMITS = {
    "max_request_bytes": MAX_REQUEST_BYTES,
    "max_resource_bytes": MAX_RESOURCE_BYTES,
    "max_resources_per_apply": MAX_RESOURCES,
}


async def build(settings: RegistrySettings, chassis: Chassis) -> Service:
    """Open the store, found the registry in it, and answer what to serve."""
    database = await chassis.stack.enter_async_context(
        open_store(
            settings.database_url,
            metadata=metadata,
            migrations=MIGRATIONS,
            clock=chassis.clock,
            notifier=chassis.notifier,
            tuning=Tuning.of(connections=settings.database_connections),
        )
    )
    store = SqlRegistryStore(database, chassis.clock)
    await store.found(chassis.ids.new_id())
    codec = ProtobufCodec()
    counted = metered(store)
    registry = Registry(counted, codec, encode_answer, chassis.clock)
    providers = ProviderLifecycle(counted, codec, encode_provider_answer, chassis.clock)
    streams = SnapshotStreams(
        store,
        registry,
        notifier=chassis.notifier,
        channel=SNAPSHOT_CHANNEL,
        clock=chassis.clock,
        drain=chassis.drain,
    )
    history = History(counted, codec, encode_rolled_back, chassis.clock)
    _keep_house(settings, chassis, store)
    servicer = RegistryServicer(registry, providers, history, streams, chassis.clock)
    add = partial(add_RegistryServiceServicer_to_server, servicer)
    facts = ServerFacts.of("registry", database.info, [FULL_NAME, SERVER_INFO], LIMITS, POLICY)
    return Service(
        name="registry",
        error_domain=ERROR_DOMAIN,
        servicers=[Servicer(FULL_NAME, add), server_info_servicer(facts)],
        policy=POLICY,
        server_info=facts,
    )


def _keep_house(settings: RegistrySettings, chassis: Chassis, store: HistoryStore) -> None:
    keeping = Keeping(settings.keep_versions, timedelta(days=settings.keep_days))
    hashes = ContentHashes(
        store, notifier=chassis.notifier, channel=SNAPSHOT_CHANNEL, clock=chassis.clock
    )
    chassis.tasks.start("retention", Retention(store, keeping, chassis.clock).run)
    chassis.tasks.start("content hashes", hashes.run)
    if measuring():
        shown = partial(show_version, store, chassis.notifier, SNAPSHOT_CHANNEL)
        chassis.tasks.start("version gauge", shown)


def schema() -> Schema:
    """Of the database, for commands that prepare or examine one."""
    return Schema(metadata, MIGRATIONS)


def main() -> int:
    """Serve until a signal; answer the exit code."""
    return process.run(RegistrySettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
