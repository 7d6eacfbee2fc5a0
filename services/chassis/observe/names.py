"""Names of spans, links and metrics: our own, then those of the OpenTelemetry conventions."""

from __future__ import annotations

from typing import Final

# The relation of a link's target to the span that has the link.
LINK_TYPE: Final = "runyard.link.type"
LINK_FAILOVER_FROM: Final = "failover_from"  # the attempt that this one replaces
LINK_MOVED_BY: Final = "moved_by"  # the attempt whose failure moved the session earlier
LINK_WAKE_CAUSE: Final = "wake_cause"  # the event that ended the wait
LINK_SUSPENDED_BY: Final = "suspended_by"  # the span that began the wait

# The subject of a span; `runyard trace` finds a trace by the run id.
RUN_ID: Final = "runyard.run.id"
THREAD_ID: Final = "runyard.thread.id"
POOL_ID: Final = "runyard.pool.id"
AGENT_ID: Final = "runyard.agent.id"
MODEL_ID: Final = "runyard.model.id"
TOOL_ID: Final = "runyard.tool.id"
TICKET_ID: Final = "runyard.ticket.id"

ERROR_ID: Final = "runyard.error_id"

# Our own metrics and their attributes.
RPC_SERVER_VIOLATIONS: Final = "runyard.rpc.server.violations"
VIOLATION: Final = (
    "runyard.violation"  # the violation's code in the contract; "field" for field rules
)
RPC_ACTIVE_CALLS: Final = "runyard.rpc.server.active_calls"
STORE_DURATION: Final = "runyard.store.duration"
STORE_QUEUE_DURATION: Final = "runyard.store.queue.duration"
STORE_COMMIT_CLOSURES: Final = "runyard.store.commit.closures"
STORE_RETRIES: Final = "runyard.store.retries"
STORE_WORK: Final = "runyard.store.work"
OUTBOX_AGE: Final = "runyard.outbox.age"
OUTBOX_ID: Final = "runyard.outbox.id"
OUTBOX_KIND: Final = "runyard.outbox.kind"
OUTBOX_ATTEMPT: Final = "runyard.outbox.attempt"
OUTBOX_ATTEMPTS: Final = "runyard.outbox.attempts"
OUTCOME: Final = "runyard.outcome"
FEED_FOLLOWERS: Final = "runyard.feed.followers"
FEED_HEARTBEATS: Final = "runyard.feed.heartbeats"
FEED_REREADS: Final = "runyard.feed.rereads"

# Names of the OpenTelemetry conventions.
ERROR_TYPE: Final = "error.type"
ERROR_TYPE_CANCELLED: Final = "cancelled"
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
RPC_SERVER_DURATION: Final = "rpc.server.call.duration"
RPC_CLIENT_DURATION: Final = "rpc.client.call.duration"
