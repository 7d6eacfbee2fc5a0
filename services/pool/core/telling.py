"""Telling: what run control made of the news that a wait has ended."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Principal, Role
from services.pool.core import waking
from services.pool.core.events import WakeDelivery
from services.pool.core.journal import Desk, Journal, wake_event
from services.pool.core.model import Caller
from services.pool.core.ports import PoolTx

_ACTOR = "pool.outbox"


class Telling:
    """Applies the answers of run control, in the transactions that close their outbox rows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def told(
        self, tx: PoolTx, tenant: str, pool_id: str, condition_id: str, delivery: WakeDelivery
    ) -> None:
        """Run control knows how the wake ended."""
        self._desk.run(
            tx, _outbox(tenant), pool_id, lambda journal: _told(journal, condition_id, delivery)
        )

    def refused(
        self, tx: PoolTx, tenant: str, pool_id: str, condition_id: str, reason: str
    ) -> None:
        """Run control will never know: the wake has failed."""
        self._desk.run(
            tx, _outbox(tenant), pool_id, lambda journal: _refused(journal, condition_id, reason)
        )


def _outbox(tenant: str) -> Caller:
    return Caller(Principal(tenant, frozenset({Role.SERVICE}), _ACTOR))


def _told(journal: Journal, condition_id: str, delivery: WakeDelivery) -> None:
    wake = journal.wake(condition_id)
    journal.tx.save_wake(journal.pool.pool_id, replace(wake, delivery=delivery))


def _refused(journal: Journal, condition_id: str, reason: str) -> None:
    wake = waking.refuse(journal.wake(condition_id), reason, journal.now)
    failed = replace(wake, ended_sequence=journal.next_sequence)
    journal.record(wake_event(failed), failed)
    journal.tx.save_wake(journal.pool.pool_id, failed)
