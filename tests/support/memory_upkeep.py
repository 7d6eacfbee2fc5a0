"""The part of the memory store of run control for what is deleted later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.runcontrol.core import model
from services.runcontrol.core.events import DELTAS, Covered
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.ports import ThreadKey

if TYPE_CHECKING:
    from tests.support.memory_tables import Tables


class MemoryUpkeep:
    """``UpkeepTx`` and ``Tombstones`` on the tables."""

    t: Tables

    def _is_deleted(self, of: model.Run | model.Dispatch | Ticket) -> bool:
        return self.t.threads[of.tenant, of.thread_id].deleted_at is not None

    def deleted_thread_of(self, tenant: str, run_id: str) -> model.Thread | None:
        run = self.t.runs.get((tenant, run_id))
        thread_id = run.thread_id if run else self.t.deleted_runs.get((tenant, run_id))
        thread = self.t.threads.get((tenant, thread_id))
        return thread if thread and thread.deleted_at else None

    def unfinished(self, tenant: str, thread_id: str, limit: int) -> list[str]:
        return [run.run_id for run in self._unfinished(tenant, thread_id)[:limit]]

    def count_unfinished(self, tenant: str, thread_id: str) -> int:
        return len(self._unfinished(tenant, thread_id))

    def _unfinished(self, tenant: str, thread_id: str) -> list[model.Run]:
        found = [
            run
            for run in self.t.runs.values()
            if (run.tenant, run.thread_id) == (tenant, thread_id)
            and run.state is not model.RunState.DONE
        ]
        return sorted(found, key=lambda run: (run.created_at, run.run_id))

    def tenants(self) -> list[str]:
        return sorted({x.tenant for x in self.t.threads.values() if x.deleted_at is None})

    def idle_threads(self, tenant: str, until: datetime, limit: int) -> list[str]:
        found = [
            x
            for x in self.t.threads.values()
            if x.tenant == tenant and x.updated_at < until and not x.deleted_at and not x.busy
        ]
        found.sort(key=lambda x: (x.updated_at, x.thread_id))
        return [x.thread_id for x in found[:limit]]

    def deleted_threads(self, limit: int) -> list[ThreadKey]:
        found = [x for x in self.t.threads.values() if x.deleted_at and not x.purged]
        found.sort(key=lambda x: (x.deleted_at, x.tenant, x.thread_id))
        return [(x.tenant, x.thread_id) for x in found[:limit]]

    def purge(self, thread: model.Thread, now: datetime, limit: int, runs: int) -> bool:
        """Deletes the rows of the thread at once, and whole runs."""
        t, tenant = self.t, thread.tenant
        of = (tenant, thread.thread_id)
        found = [key for key, run in t.runs.items() if (run.tenant, run.thread_id) == of]
        gone = set(sorted(found)[:runs])
        tickets = {
            (x.tenant, x.ticket_id) for x in t.tickets.values() if (tenant, x.run_id) in gone
        }
        for table in (t.calls, t.tickets, t.inputs, t.wakes, t.deliveries, t.memberships):
            self._drop(table, lambda _, each: (each.tenant, each.run_id) in gone)
        self._drop(t.checkpoints, lambda key, _: key[:2] in gone)
        self._drop(t.covered, lambda key, _: key[:2] in gone)
        self._drop(t.events, lambda key, _: key[:2] == of)
        self._drop(t.messages, lambda key, _: key[:2] == of)
        self._drop(t.decisions, lambda key, _: key[:2] in tickets)
        self._drop(t.ticket_changes, lambda key, _: key in tickets)
        self._drop(t.dispatches, lambda _, each: (each.tenant, each.thread_id) == of)
        self._drop(t.runs, lambda key, _: key in gone)
        t.deleted_runs |= dict.fromkeys(gone, thread.thread_id)
        return len(gone) < runs

    def _drop(self, table: dict[Any, Any], goes: Callable[[Any, Any], bool]) -> None:
        for key in [key for key, each in table.items() if goes(key, each)]:
            del table[key]

    def covered(self, until: datetime, limit: int) -> list[Covered]:
        found = [each for each in self.t.covered.values() if each.covered_at <= until]
        found.sort(key=lambda of: (of.covered_at, of.tenant, of.run_id, of.last_run_seq))
        return found[:limit]

    def drop_deltas(self, of: Covered, limit: int) -> int | None:
        key = (of.tenant, of.run_id, of.last_run_seq)
        if key not in self.t.covered:
            return None
        found = [
            at
            for at, event in self.t.events.items()
            if (at[0], event.run_id) == key[:2]
            and of.first_run_seq <= event.run_seq <= of.last_run_seq
            and isinstance(event.kind, DELTAS)
        ]
        dropped = sorted(found, key=lambda at: self.t.events[at].run_seq)[:limit]
        for at in dropped:
            del self.t.events[at]
        if len(dropped) < limit:
            del self.t.covered[key]
        return len(dropped)
