"""What is due: each timer is decided in a transaction of its own, and fires at most once."""

from __future__ import annotations

from services.chassis.caller import Principal, Role
from services.pool.core import messages, wakes
from services.pool.core.events import (
    DueTimer,
    Timer,
    TimerKind,
)
from services.pool.core.journal import Desk, Journal
from services.pool.core.model import (
    Caller,
)
from services.pool.core.ports import PoolTx

_ACTOR = "pool.timers"


class Timers:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def fire(self, due: DueTimer) -> None:
        """Do what ``due`` is for, unless something else came first."""
        principal = Principal(due.tenant, frozenset({Role.SERVICE}), _ACTOR)
        caller = Caller(principal)

        def closure(tx: PoolTx) -> None:
            self._desk.run(tx, caller, due.pool_id, lambda journal: _fire(journal, due.timer))

        await self._desk.store.write(due.tenant, closure)


def _fire(journal: Journal, timer: Timer) -> None:
    journal.tx.drop_timer(journal.pool.pool_id, timer.kind, timer.subject_id)
    fire = {
        TimerKind.WAKE: wakes.time_out,
        TimerKind.RESPONSE: messages.time_out,
        TimerKind.EXPIRY: messages.expire,
    }[timer.kind]
    fire(journal, timer.subject_id)
