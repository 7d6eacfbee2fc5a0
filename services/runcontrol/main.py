"""The run control process: creates and connects its parts."""

from __future__ import annotations

import random
from functools import partial

from runyard.runcontrol.v1.runcontrol_internal_service_pb2_grpc import (
    add_RunControlInternalServiceServicer_to_server,
)
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import (
    add_RunControlServiceServicer_to_server,
)
from runyard.worker.v1.worker_service_pb2_grpc import add_ToolWorkerServiceServicer_to_server
from services.chassis.calls.channel import open_channel
from services.chassis.outbox.claims import SenderLeases
from services.chassis.outbox.rows import OutboxRow
from services.chassis.outbox.sender import Answer, Delivered, OutboxSender
from services.chassis.server.definition import Assembly, ServiceDefinition
from services.chassis.server.service import Chassis, Servicer
from services.chassis.store.dead_holders import DeadHolders, Leases
from services.chassis.store.kept_snapshot import SqlKeptSnapshot
from services.chassis.store.port import Store, Tx
from services.chassis.store.schema import Schema
from services.runcontrol.api.codec import ProtobufCodec
from services.runcontrol.api.internal_servicer import RunControlInternalServicer
from services.runcontrol.api.policy import INTERNAL, POLICY, RUN_CONTROL, WORKER
from services.runcontrol.api.servicer import RunControlServicer
from services.runcontrol.api.sizes import SIZES
from services.runcontrol.api.worker_servicer import ToolWorkerServicer
from services.runcontrol.clients.own_runs import OwnRuns
from services.runcontrol.clients.pool import PoolClient
from services.runcontrol.clients.registry import RegistryCatalogs, build_catalog
from services.runcontrol.clients.router import RouterModels
from services.runcontrol.core.commands import CommandRefusal, decode_answer, decode_command
from services.runcontrol.core.compacting import Compaction
from services.runcontrol.core.dead_letters import DeadLetters
from services.runcontrol.core.deciding import Decisions
from services.runcontrol.core.deleting import Deletion
from services.runcontrol.core.execution import Execution
from services.runcontrol.core.limits import MAX_MESSAGES, MAX_PENDING_INPUTS, MAX_TOPICS
from services.runcontrol.core.ports import READY
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.retention import Retention
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.core.steering import Steering
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.worker_calls import WorkerTimes
from services.runcontrol.engine.executor import Executor
from services.runcontrol.engine.run_loop import RunLoop
from services.runcontrol.engine.slots import Slots
from services.runcontrol.engine.streams import FeedRunStreams
from services.runcontrol.engine.ticket_streams import FeedTicketStreams
from services.runcontrol.engine.upkeep import Upkeep
from services.runcontrol.engine.worker_sessions import LiveSessions
from services.runcontrol.settings import RunControlSettings
from services.runcontrol.store.leases import RunLeases
from services.runcontrol.store.store import SqlStore
from services.runcontrol.store.tables import MIGRATIONS, kept_snapshot, metadata, outbox
from services.wire.server_info import server_info_servicer
from services.wire.snapshot import SnapshotConsumer

LIMITS = {
    "max_messages_per_submit": MAX_MESSAGES,
    "max_topics_per_pool": MAX_TOPICS,
    "max_pending_inputs_per_run": MAX_PENDING_INPUTS,
}


async def assemble(settings: RunControlSettings, chassis: Chassis, database: Store) -> Assembly:
    """Free the leases of a killed server, start the loops, and return what to serve."""
    store = SqlStore(database, ProtobufCodec(), chassis.clock)
    catalogs = await _follow_registry(settings, chassis, database)
    runs = RunControl(store, catalogs, chassis.clock, chassis.ids)
    decisions = Decisions(store, chassis.clock, chassis.ids)
    executor = await _execute(settings, chassis, database, store, catalogs, runs)
    steering = Steering(store, catalogs, chassis.clock, chassis.ids)
    reading = Reading(store)
    streams = FeedRunStreams(runs, reading, chassis.notifier, chassis.clock, chassis.drain)
    tickets = FeedTicketStreams(runs, chassis.notifier, chassis.clock, chassis.drain)
    dead_letters = DeadLetters(store, catalogs, chassis.clock, chassis.ids)
    workers = ToolWorkers(
        store,
        catalogs,
        chassis.clock,
        chassis.ids,
        WorkerTimes(settings.worker_accept_s, settings.worker_lease_s),
    )
    sessions = LiveSessions(workers, chassis.notifier, chassis.clock, chassis.ids, chassis.drain)
    chassis.tasks.start("calls of workers", sessions.give_forever)
    chassis.tasks.start("ended calls", sessions.stop_forever)
    chassis.tasks.start("overdue calls", sessions.sweep_forever)
    compaction = Compaction(store, chassis.clock, settings.keep_deltas_s)
    deletion = Deletion(store, chassis.clock)
    retention = Retention(
        store, chassis.clock, settings.retention_days, settings.retention_days_by_tenant
    )
    upkeep = Upkeep(compaction, deletion, retention, chassis.clock)
    chassis.tasks.start("upkeep", upkeep.run)
    return Assembly(
        _servicers(
            RunControlServicer(
                runs, decisions, steering, reading, dead_letters, deletion, streams, tickets
            ),
            RunControlInternalServicer(runs),
            ToolWorkerServicer(workers, sessions),
        ),
        hand_back=executor.hand_back,
        limits={"max_concurrent_runs": settings.max_concurrent_runs},
    )


def _servicers(
    for_runs: RunControlServicer,
    for_services: RunControlInternalServicer,
    for_workers: ToolWorkerServicer,
) -> list[Servicer]:
    serve_runs = partial(add_RunControlServiceServicer_to_server, for_runs)
    serve_services = partial(add_RunControlInternalServiceServicer_to_server, for_services)
    serve_workers = partial(add_ToolWorkerServiceServicer_to_server, for_workers)
    return [
        Servicer(RUN_CONTROL, serve_runs),
        Servicer(INTERNAL, serve_services),
        Servicer(WORKER, serve_workers),
    ]


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
    store: SqlStore,
    catalogs: RegistryCatalogs,
    runs: RunControl,
) -> Executor:
    """Start the loops that execute runs and deliver their commands."""
    enter, peers = chassis.stack.enter_async_context, chassis.peers
    pool = PoolClient(await enter(open_channel(settings.pool_target, peers=peers)))
    router = await enter(open_channel(settings.router_target, peers=peers, tokens=True))
    models = RouterModels(router, lambda: catalogs.version)
    draw = random.Random().random  # noqa: S311  # spreads retries, is no secret
    instance = database.instance or chassis.ids.new_id()
    execution = Execution(
        store, catalogs, chassis.clock, chassis.ids, instance, draw, settings.max_runs_per_tenant
    )
    if database.sole_owner:
        await execution.reclaim_all()
    slots = Slots(
        settings.max_concurrent_runs,
        settings.max_waiting_per_target,
        chassis.clock,
        lambda: chassis.notifier.notify(READY),
    )
    loop = RunLoop(execution, models, pool, chassis.clock, slots, settings.max_calls_per_answer)
    executor = Executor(execution, loop, chassis.notifier, chassis.clock, chassis.drain, slots)
    chassis.stack.push_async_callback(executor.close)
    sender = OutboxSender(
        database,
        outbox,
        chassis.notifier,
        chassis.clock,
        {**pool.deliveries(), **OwnRuns(runs).deliveries()},
        partial(_settle, execution, store),
    )
    chassis.tasks.start("outbox", sender.run)
    chassis.tasks.start("claims", executor.claim_forever)
    chassis.tasks.start("leases", executor.keep_leases)
    chassis.tasks.start("sweeps", executor.sweep)
    leases: list[Leases] = [RunLeases(chassis.clock), SenderLeases(outbox, chassis.clock)]
    chassis.tasks.start("dead holders", DeadHolders(database, chassis.clock, leases).run)
    return executor


def _settle(execution: Execution, store: SqlStore, tx: Tx, row: OutboxRow, answer: Answer) -> None:
    """Apply the pool's answer to the run, in the transaction that closes the row."""
    command = decode_command(row.kind, row.payload)
    result = (
        decode_answer(answer.body)
        if isinstance(answer, Delivered)
        else CommandRefusal(answer.reason, answer.message)
    )
    execution.apply_outcome(store.within(tx), command, result)


SERVICE = ServiceDefinition(
    settings=RunControlSettings,
    schema=Schema(metadata, MIGRATIONS),
    policy=POLICY,
    sizes=SIZES,
    assemble=assemble,
    limits=LIMITS,
    server_info=server_info_servicer,
)
