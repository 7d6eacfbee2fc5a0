"""Use case of timers: each fires at most once, in a transaction of its own."""

from __future__ import annotations

from services.chassis.caller import Caller, Principal, Role
from services.pool.core import messages, wakes
from services.pool.core.events import DueTimer, Timer, TimerKind
from services.pool.core.journal import Journal, PoolCommands
from services.pool.core.ports import Tx

_ACTOR = "pool.timers"


class Timers:
    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    async def fire(self, due: DueTimer) -> bool:
        """Time out or expire the subject of ``due`` unless it has ended before.

        False, and nothing was done: another transaction has locked the pool.
        """
        principal = Principal(due.tenant, frozenset({Role.SERVICE}), _ACTOR)
        caller = Caller(principal)

        def closure(tx: Tx) -> bool:
            if not tx.try_lock_pool(due.pool_id) and tx.pool(due.pool_id) is not None:
                return False
            self._commands.run(tx, caller, due.pool_id, lambda journal: _fire(journal, due.timer))
            return True

        return await self._commands.store.write(due.tenant, closure)


def _fire(journal: Journal, timer: Timer) -> None:
    journal.tx.drop_timer(journal.pool.pool_id, timer.kind, timer.subject_id)
    fire = {
        TimerKind.WAKE: wakes.time_out,
        TimerKind.RESPONSE: messages.time_out,
        TimerKind.EXPIRY: messages.expire,
    }[timer.kind]
    fire(journal, timer.subject_id)
