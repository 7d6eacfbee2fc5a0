"""Builds the pool service from its parts."""

from __future__ import annotations

from functools import partial

from runyard.pool.v1.pool_service_pb2_grpc import add_PoolServiceServicer_to_server
from services.chassis.caller import tenant_of
from services.chassis.calls.channel import open_channel
from services.chassis.outbox.claims import SenderLeases
from services.chassis.outbox.rows import OutboxRow
from services.chassis.outbox.sender import Answer, Delivered, OutboxSender
from services.chassis.server.definition import Assembly, ServiceDefinition
from services.chassis.server.service import Chassis, Servicer
from services.chassis.store.dead_holders import DeadHolders
from services.chassis.store.port import Store, Tx
from services.chassis.store.schema import Schema
from services.pool.api.policy import FULL_NAME, POLICY
from services.pool.api.servicer import PoolServicer
from services.pool.api.sizes import SIZES
from services.pool.clients.runcontrol import RunControlClient, condition_of, encode_wake, outcome_of
from services.pool.core.inboxes import Inboxes
from services.pool.core.journal import PoolCommands
from services.pool.core.limits import (
    MAX_AFTER_MATCHES,
    MAX_BODY_BYTES,
    MAX_CONDITION_BYTES,
    MAX_CORRELATION,
    MAX_FETCH,
    MAX_FILTER_VALUES,
    MAX_FILTERS,
    MAX_PAGE,
    MAX_POLICIES,
    MAX_TOPICS,
)
from services.pool.core.messages import Messages
from services.pool.core.pools import Pools
from services.pool.core.timers import Timers
from services.pool.core.wake_settlement import WakeSettlement
from services.pool.core.wakes import Wakes
from services.pool.engine.timers import TimerLoop
from services.pool.settings import PoolSettings
from services.pool.store.store import SqlStore
from services.pool.store.tables import MIGRATIONS, metadata, outbox
from services.pool.store.tx import DELIVER_WAKE, TIMERS
from services.wire.server_info import server_info_servicer

LIMITS = {
    "max_inline_body_bytes": MAX_BODY_BYTES,
    "max_topics_per_member": MAX_TOPICS,
    "max_policy_refs": MAX_POLICIES,
    "max_correlation_entries": MAX_CORRELATION,
    "max_filters_per_wake": MAX_FILTERS,
    "max_values_per_filter_field": MAX_FILTER_VALUES,
    "max_condition_bytes": MAX_CONDITION_BYTES,
    "max_matches_per_wake": MAX_AFTER_MATCHES,
    "max_deliveries_per_fetch": MAX_FETCH,
    "max_page_size": MAX_PAGE,
}


async def assemble(settings: PoolSettings, chassis: Chassis, database: Store) -> Assembly:
    """Start the timers and the outbox, and return what to serve."""
    store = SqlStore(database, chassis.clock, encode_wake)
    commands = PoolCommands(store, chassis.clock, chassis.ids)
    _start_timers(store, commands, chassis)
    await _start_outbox(settings, database, store, commands, chassis)
    servicer = PoolServicer(Pools(commands), Messages(commands), Inboxes(commands), Wakes(commands))
    add = partial(add_PoolServiceServicer_to_server, servicer)
    return Assembly([Servicer(FULL_NAME, add)])


def _start_timers(store: SqlStore, commands: PoolCommands, chassis: Chassis) -> None:
    loop = TimerLoop(store, Timers(commands), chassis.notifier, chassis.clock, TIMERS)
    chassis.tasks.start("timers", loop.run)


async def _start_outbox(
    settings: PoolSettings,
    database: Store,
    store: SqlStore,
    commands: PoolCommands,
    chassis: Chassis,
) -> None:
    channel = await chassis.stack.enter_async_context(
        open_channel(settings.runcontrol_target, peers=chassis.peers)
    )
    settlement = WakeSettlement(commands)

    def settle(tx: Tx, row: OutboxRow, answer: Answer) -> None:
        tenant = tenant_of(row.lane)
        pool_id, condition_id = condition_of(row)
        pool_tx = store.within(tx, tenant)
        if isinstance(answer, Delivered):
            outcome = outcome_of(answer.body)
            settlement.delivered(pool_tx, tenant, pool_id, condition_id, outcome)
        else:
            settlement.refused(pool_tx, tenant, pool_id, condition_id, answer.reason)

    client = RunControlClient(channel, lambda row: tenant_of(row.lane))
    sender = OutboxSender(
        database,
        outbox,
        chassis.notifier,
        chassis.clock,
        {DELIVER_WAKE: client.deliver_wake},
        settle,
    )
    chassis.tasks.start("outbox", sender.run)
    leases = [SenderLeases(outbox, chassis.clock)]
    chassis.tasks.start("dead holders", DeadHolders(database, chassis.clock, leases).run)


SERVICE = ServiceDefinition(
    settings=PoolSettings,
    schema=Schema(metadata, MIGRATIONS),
    policy=POLICY,
    sizes=SIZES,
    assemble=assemble,
    server_info=server_info_servicer,
    limits=LIMITS,
)
