"""The metrics of the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from services.chassis.observe.metrics import Counter, Histogram, measuring
from services.chassis.observe.names import OUTBOX_AGE, OUTBOX_ATTEMPTS, OUTBOX_KIND, OUTCOME
from services.chassis.outbox.rows import OutboxRow

AGE = Histogram(
    OUTBOX_AGE,
    "s",
    "Age of a row after a delivery attempt, from its put.",
    (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400),
)
ATTEMPTS = Counter(OUTBOX_ATTEMPTS, "{attempt}", "Delivery attempts, by outcome.")


def tried(
    row: OutboxRow, outcome: Literal["delivered", "dead", "postponed"], now: datetime
) -> None:
    """Record the end of one delivery attempt."""
    if measuring():
        attributes = {OUTBOX_KIND: row.kind, OUTCOME: outcome}
        ATTEMPTS.add(1, attributes)
        AGE.record((now - row.created_at).total_seconds(), attributes)
