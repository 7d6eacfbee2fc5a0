"""How commands to siblings fare, in numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from services.chassis.metrics import Counter, Histogram, measuring
from services.chassis.outbox_rows import OutboxRow
from services.chassis.telemetry_names import OUTBOX_AGE, OUTBOX_ATTEMPTS, OUTBOX_KIND, OUTCOME

AGE = Histogram(
    OUTBOX_AGE,
    "s",
    "How old a row was after a try, from the change that caused it.",
    (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400),
)
ATTEMPTS = Counter(OUTBOX_ATTEMPTS, "{attempt}", "Tries, by how they ended.")


def tried(
    row: OutboxRow, outcome: Literal["delivered", "dead", "postponed"], now: datetime
) -> None:
    """One try has ended."""
    if measuring():
        attributes = {OUTBOX_KIND: row.kind, OUTCOME: outcome}
        ATTEMPTS.add(1, attributes)
        AGE.record((now - row.created_at).total_seconds(), attributes)
