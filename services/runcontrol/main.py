"""Run control's process: wires its rooms together."""

from __future__ import annotations

import random
from functools import partial

from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import (
    add_RunControlServiceServicer_to_server,
)
from runyard.worker.v1.worker_service_pb2_grpc import add_ToolWorkerServiceServicer_to_server
from services.chassis import process
from services.chassis.channel import open_channel
from services.chassis.kept_snapshot import SqlKeptSnapshot
from services.chassis.outbox import Answer, Delivered, OutboxRow, OutboxSender
from services.chassis.service import MAX_REQUEST_BYTES, Chassis, ServerFacts, Service, Servicer
from services.chassis.store.opening import Tuning, open_store
from services.chassis.store.port import Store, Tx
from services.chassis.store.schema import Schema
from services.runcontrol.api.events import ProtobufCodec
from services.runcontrol.api.policy import POLICY, RUN_CONTROL, WORKER
from services.runcontrol.api.requests import MAX_MESSAGES, MAX_TOPICS
from services.runcontrol.api.responses import ENCODERS
from services.runcontrol.api.servicer import RunControlServicer, ToolWorkerServicer
from services.runcontrol.api.subscriptions import RunSubscriptions
from services.runcontrol.clients.pool import PoolClient, decode_answer
from services.runcontrol.clients.registry import RegistryCatalogs, build_catalog
from services.runcontrol.clients.router import RouterModels
from services.runcontrol.core.commands import RefusedForGood, decode_command
from services.runcontrol.core.execution import Execution
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.engine.executor import Executor
from services.runcontrol.engine.run_loop import RunLoop
from services.runcontrol.settings import RunControlSettings
from services.runcontrol.store.runcontrol_store import SqlRunControlStore
from services.runcontrol.store.tables import MIGRATIONS, kept_snapshot, metadata, outbox
from services.wire.server_info import FULL_NAME as SERVER_INFO
from services.wire.server_info import server_info_servicer
from services.wire.snapshot import SnapshotConsumer

ERROR_DOMAIN = "runcontrol.runyard.dev"


async def build(settings: RunControlSettings, chassis: Chassis) -> Service:
    """Open the store, free what a dead server held, start the loops, answer what to serve."""
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
    store = SqlRunControlStore(database, ProtobufCodec(), chassis.clock)
    catalogs = await _follow_registry(settings, chassis, database)
    runs = RunControl(store, catalogs, chassis.clock, chassis.ids, ENCODERS)
    executor = await _execute(settings, chassis, database, store, catalogs)
    subscriptions = RunSubscriptions(runs, chassis.notifier, chassis.clock, chassis.drain)
    limits = {
        "max_request_bytes": MAX_REQUEST_BYTES,
        "max_messages_per_submit": MAX_MESSAGES,
        "max_topics_per_pool": MAX_TOPICS,
        "max_concurrent_runs": settings.max_concurrent_runs,
    }
    served = [RUN_CONTROL, WORKER, SERVER_INFO]
    facts = ServerFacts.of("runcontrol", database.info, served, limits, POLICY)
    return Service(
        name="runcontrol",
        error_domain=ERROR_DOMAIN,
        servicers=[*_servicers(runs, subscriptions), server_info_servicer(facts)],
        policy=POLICY,
        server_info=facts,
        hand_back=executor.hand_back,
    )


def _servicers(runs: RunControl, subscriptions: RunSubscriptions) -> list[Servicer]:
    serve_runs = partial(
        add_RunControlServiceServicer_to_server, RunControlServicer(runs, subscriptions)
    )
    serve_workers = partial(add_ToolWorkerServiceServicer_to_server, ToolWorkerServicer())
    return [Servicer(RUN_CONTROL, serve_runs), Servicer(WORKER, serve_workers)]


async def _follow_registry(
    settings: RunControlSettings, chassis: Chassis, database: Store
) -> RegistryCatalogs:
    channel = await chassis.stack.enter_async_context(
        open_channel(settings.registry_target, peers=chassis.peers)
    )
    consumer = SnapshotConsumer(
        channel,
        SqlKeptSnapshot(database, kept_snapshot),
        build_catalog,
        chassis.clock,
        chassis.drain,
    )
    await consumer.load()
    chassis.tasks.start("registry-snapshot", consumer.run)
    return RegistryCatalogs(consumer)


async def _execute(
    settings: RunControlSettings,
    chassis: Chassis,
    database: Store,
    store: SqlRunControlStore,
    catalogs: RegistryCatalogs,
) -> Executor:
    """Start the loops that execute runs and talk to the pool."""
    enter, peers = chassis.stack.enter_async_context, chassis.peers
    pool = PoolClient(await enter(open_channel(settings.pool_target, peers=peers)))
    router = await enter(open_channel(settings.router_target, peers=peers, tokens=True))
    models = RouterModels(router, lambda: catalogs.version)
    draw = random.Random().random  # noqa: S311  # spreads retries, keeps no secret
    execution = Execution(store, chassis.clock, chassis.ids, chassis.ids.new_id(), draw)
    if database.sole_owner:
        await execution.reclaim_all()
    loop = RunLoop(execution, models, pool, chassis.clock)
    slots = settings.max_concurrent_runs
    executor = Executor(execution, loop, chassis.notifier, chassis.clock, chassis.drain, slots)
    chassis.stack.push_async_callback(executor.close)
    sender = OutboxSender(
        database,
        outbox,
        chassis.notifier,
        chassis.clock,
        pool.deliveries(),
        partial(_settle, execution, store),
    )
    chassis.tasks.start("outbox", sender.run)
    chassis.tasks.start("claims", executor.claim_forever)
    chassis.tasks.start("leases", executor.keep_leases)
    chassis.tasks.start("sweeps", executor.sweep)
    return executor


def _settle(
    execution: Execution, store: SqlRunControlStore, tx: Tx, row: OutboxRow, answer: Answer
) -> None:
    """Hand the pool's answer to the run, in the transaction that closes the row."""
    command = decode_command(row.kind, row.payload)
    said = (
        decode_answer(answer.body)
        if isinstance(answer, Delivered)
        else RefusedForGood(answer.reason, answer.message)
    )
    execution.settle(store.on(tx), command, said)


def schema() -> Schema:
    """Of the database, for commands that prepare or examine one."""
    return Schema(metadata, MIGRATIONS)


def main() -> int:
    """Serve until a signal; answer the exit code."""
    return process.run(RunControlSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
