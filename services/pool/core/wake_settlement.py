"""Wake settlement: what run control answered to the delivery of an ended wake."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Caller, Principal, Role
from services.pool.core import waking
from services.pool.core.events import WakeDelivery
from services.pool.core.journal import Journal, PoolCommands, wake_event
from services.pool.core.ports import Tx

_ACTOR = "pool.outbox"


class WakeSettlement:
    """Applies the answers of run control, in the transactions that close their outbox rows."""

    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    def delivered(
        self, tx: Tx, tenant: str, pool_id: str, condition_id: str, delivery: WakeDelivery
    ) -> None:
        """Store the outcome of a delivery that run control took."""
        self._commands.run(
            tx,
            _outbox(tenant),
            pool_id,
            lambda journal: _delivered(journal, condition_id, delivery),
        )

    def refused(self, tx: Tx, tenant: str, pool_id: str, condition_id: str, reason: str) -> None:
        """End the wake as failed because run control refused its delivery for good."""
        self._commands.run(
            tx, _outbox(tenant), pool_id, lambda journal: _refused(journal, condition_id, reason)
        )


def _outbox(tenant: str) -> Caller:
    return Caller(Principal(tenant, frozenset({Role.SERVICE}), _ACTOR))


def _delivered(journal: Journal, condition_id: str, delivery: WakeDelivery) -> None:
    wake = journal.wake(condition_id)
    journal.tx.save_wake(journal.pool.pool_id, replace(wake, delivery=delivery))


def _refused(journal: Journal, condition_id: str, reason: str) -> None:
    wake = waking.refuse(journal.wake(condition_id), reason, journal.now)
    failed = replace(wake, ended_sequence=journal.next_sequence)
    journal.record(wake_event(failed), failed)
    journal.tx.save_wake(journal.pool.pool_id, failed)
