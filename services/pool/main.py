"""The pool's process: wires its rooms together."""

from __future__ import annotations

from functools import partial

from runyard.pool.v1.pool_service_pb2_grpc import add_PoolServiceServicer_to_server
from services.chassis import process
from services.chassis.channel import open_channel
from services.chassis.outbox import Answer, Delivered, OutboxRow, OutboxSender
from services.chassis.service import Chassis, ServerFacts, Service, Servicer
from services.chassis.store.opening import Tuning, open_store
from services.chassis.store.port import Store, Tx
from services.chassis.store.schema import Schema
from services.pool.api import requests
from services.pool.api.policy import FULL_NAME, POLICY
from services.pool.api.replies import ENCODE
from services.pool.api.servicer import PoolServicer
from services.pool.clients.runcontrol import (
    RunControlClient,
    condition_of,
    encode_wake,
    outcome_of,
)
from services.pool.core.inboxes import Inboxes
from services.pool.core.journal import Desk
from services.pool.core.messages import Messages
from services.pool.core.pools import Pools
from services.pool.core.telling import Telling
from services.pool.core.timing import Timers
from services.pool.core.wakes import Wakes
from services.pool.engine.timers import TimerLoop
from services.pool.settings import PoolSettings
from services.pool.store.pool_store import SqlPoolStore
from services.pool.store.pool_tx import DELIVER_WAKE, TIMERS, tenant_of
from services.pool.store.tables import MIGRATIONS, metadata, outbox
from services.wire.server_info import FULL_NAME as SERVER_INFO
from services.wire.server_info import server_info_servicer

ERROR_DOMAIN = "pool.runyard.dev"
LIMITS = {
    "max_inline_body_bytes": requests.MAX_BODY_BYTES,
    "max_topics_per_member": requests.MAX_TOPICS,
    "max_policy_refs": requests.MAX_POLICIES,
    "max_correlation_entries": requests.MAX_CORRELATION,
    "max_filters_per_wake": requests.MAX_FILTERS,
    "max_values_per_filter_field": requests.MAX_FILTER_VALUES,
    "max_condition_bytes": requests.MAX_CONDITION_BYTES,
    "max_matches_per_wake": requests.MAX_AFTER_MATCHES,
    "max_deliveries_per_fetch": requests.MAX_FETCH,
    "max_page_size": requests.MAX_PAGE,
}


async def build(settings: PoolSettings, chassis: Chassis) -> Service:
    """Open the store, start the clocks and the outbox, and answer what to serve."""
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
    store = SqlPoolStore(database, chassis.clock, encode_wake)
    desk = Desk(store, chassis.clock, chassis.ids)
    _start_timers(store, desk, chassis)
    await _start_outbox(settings, database, store, desk, chassis)
    servicer = PoolServicer(
        Pools(desk, ENCODE), Messages(desk, ENCODE), Inboxes(desk, ENCODE), Wakes(desk, ENCODE)
    )
    facts = ServerFacts.of("pool", database.info, [FULL_NAME, SERVER_INFO], LIMITS, POLICY)
    return Service(
        name="pool",
        error_domain=ERROR_DOMAIN,
        servicers=[
            Servicer(FULL_NAME, partial(add_PoolServiceServicer_to_server, servicer)),
            server_info_servicer(facts),
        ],
        policy=POLICY,
        server_info=facts,
    )


def _start_timers(store: SqlPoolStore, desk: Desk, chassis: Chassis) -> None:
    loop = TimerLoop(store, Timers(desk), chassis.notifier, chassis.clock, TIMERS)
    chassis.tasks.start("timers", loop.run)


async def _start_outbox(
    settings: PoolSettings, database: Store, store: SqlPoolStore, desk: Desk, chassis: Chassis
) -> None:
    channel = await chassis.stack.enter_async_context(
        open_channel(settings.runcontrol_target, peers=chassis.peers)
    )
    telling = Telling(desk)

    def settle(tx: Tx, row: OutboxRow, answer: Answer) -> None:
        tenant = tenant_of(row.lane)
        pool_id, condition_id = condition_of(row)
        pool_tx = store.within(tx, tenant)
        if isinstance(answer, Delivered):
            outcome = outcome_of(answer.body)
            telling.told(pool_tx, tenant, pool_id, condition_id, outcome)
        else:
            telling.refused(pool_tx, tenant, pool_id, condition_id, answer.reason)

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


def schema() -> Schema:
    """Of the database, for commands that prepare or examine one."""
    return Schema(metadata, MIGRATIONS)


def main() -> int:
    """Serve until a signal; answer the exit code."""
    return process.run(PoolSettings, build)


if __name__ == "__main__":
    raise SystemExit(main())
