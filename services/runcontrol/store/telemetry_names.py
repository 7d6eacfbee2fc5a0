"""The metrics of runs that are counted by what is committed, and their attributes."""

from __future__ import annotations

from typing import Final

from services.chassis.observe.metrics import Counter, Histogram

REASON: Final = "runyard.reason"
RETRY_CLASS: Final = "runyard.retry_class"
WILL_RETRY: Final = "runyard.will_retry"
EFFECT_CLASS: Final = "runyard.tool.effect_class"
OUTCOME: Final = "runyard.call.outcome"
TICKET_KIND: Final = "runyard.ticket.kind"
TICKET_OUTCOME: Final = "runyard.ticket.outcome"

# Runs last up to a day, and longer with the waits for people.
_RUN_SECONDS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)

# People answer within seconds, or after days.
_TICKET_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 604_800.0)

FINISHED = Counter("runyard.runs.finished", "{run}", "Runs that have ended, by the reason.")
PARKED = Counter("runyard.runs.parked", "{wait}", "Waits for which runs have parked.")
DURATION = Histogram(
    "runyard.run.duration", "s", "From the submission of a run to its end.", _RUN_SECONDS
)
CLAIMED = Histogram(
    "runyard.dispatch.queue.duration", "s", "How long claimed dispatches could have been claimed."
)
ATTEMPTS = Counter(
    "runyard.dispatch.failed_attempts", "{attempt}", "Attempts that have failed, by class."
)
LOST = Counter("runyard.lease.lost", "{lease}", "Attempts that ended with the loss of a server.")
CALLS = Counter("runyard.calls", "{call}", "Tool calls that have ended, by how.")
UNKNOWN = Counter(
    "runyard.calls.unknown", "{call}", "Lost tool calls of which a person is asked what became."
)
OPENED = Counter("runyard.tickets.opened", "{ticket}", "Tickets that were opened, by kind.")
CLOSED = Counter(
    "runyard.tickets.closed", "{ticket}", "Tickets that nobody has to decide any more, by how."
)
DECIDED = Histogram(
    "runyard.ticket.duration", "s", "From the opening of a ticket to its end.", _TICKET_SECONDS
)
