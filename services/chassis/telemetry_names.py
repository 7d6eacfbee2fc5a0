"""Names that spans and their links carry, where the conventions of OpenTelemetry have none yet."""

from __future__ import annotations

from typing import Final

# What a link leads to, as seen from the span that carries it.
LINK_TYPE: Final = "runyard.link.type"
LINK_FAILOVER_FROM: Final = "failover_from"  # the attempt that this one replaces
LINK_MOVED_BY: Final = "moved_by"  # the attempt whose failure moved the session earlier
LINK_WAKE_CAUSE: Final = "wake_cause"  # the event that ended the wait
LINK_SUSPENDED_BY: Final = "suspended_by"  # the span that began the wait

# What a span is about; `runyard trace` finds a trace by the run.
RUN_ID: Final = "runyard.run.id"
THREAD_ID: Final = "runyard.thread.id"
POOL_ID: Final = "runyard.pool.id"
AGENT_ID: Final = "runyard.agent.id"
MODEL_ID: Final = "runyard.model.id"
TOOL_ID: Final = "runyard.tool.id"
TICKET_ID: Final = "runyard.ticket.id"

# Of the conventions, spelt once.
ERROR_TYPE: Final = "error.type"
ERROR_TYPE_CANCELLED: Final = "cancelled"
