"""The part of the memory store of run control for tool workers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.runcontrol.core import exchange
from services.runcontrol.core.ports import CallKey, Wanted
from services.runcontrol.core.worker_calls import CallRef, Worker
from tests.support.memory_tables import Tables, is_past


class MemoryWorkers:
    """``WorkerTx`` on the tables."""

    t: Tables

    def announce(self, tenant: str, tool_id: str, labels: tuple[str, ...], now: datetime) -> None:
        self.t.served |= {(tenant, tool_id, label) for label in ("", *labels)}

    def announced(self, tenant: str, tool_id: str, label: str) -> bool:
        return (tenant, tool_id, label) in self.t.served

    def begin_session(self, tenant: str, worker: Worker, now: datetime) -> int:
        epoch = self.session_epoch(tenant, worker.instance_id) + 1
        self.t.sessions[tenant, worker.instance_id] = epoch
        return epoch

    def session_epoch(self, tenant: str, instance_id: str) -> int:
        return self.t.sessions.get((tenant, instance_id), 0)

    def call(self, tenant: str, call_id: str) -> exchange.Call | None:
        return self.t.calls.get((tenant, call_id))

    def ready_calls(self, tenant: str, wanted: Wanted, now: datetime, limit: int) -> list[CallKey]:
        found = [
            call
            for call in self._offered(tenant, wanted.tool_id, now)
            if call.label == wanted.label
            and (not wanted.schema_digest or call.schema_digest in ("", wanted.schema_digest))
        ]
        return [self._key(call) for call in found[:limit]]

    def longest_ready(
        self, tenant: str, tool_id: str, now: datetime, limit: int
    ) -> list[exchange.Call]:
        return self._offered(tenant, tool_id, now)[:limit]

    def probed_calls(self, tenant: str, limit: int) -> list[exchange.Call]:
        calls = [c for c in self.t.calls.values() if c.tenant == tenant and c.probe_until]
        return sorted(calls, key=lambda c: (c.probe_until, c.call_id))[:limit]

    def overdue_calls(self, now: datetime, limit: int) -> list[CallKey]:
        state = exchange.CallState
        found = [
            call
            for call in self.t.calls.values()
            if is_past(call.due_at, now, call.state in (state.DISPATCHED, state.ACCEPTED))
            or is_past(call.timeout_at, now, call.state in (state.READY, state.ACCEPTED))
            or is_past(call.probe_until, now, call.state is state.UNKNOWN)
        ]
        return [self._key(call) for call in sorted(found, key=lambda c: c.call_id)[:limit]]

    def _key(self, call: exchange.Call) -> CallKey:
        run = self.t.runs[call.tenant, call.run_id]
        return call.tenant, run.thread_id, call.run_id, call.call_id

    def extend_call(self, tenant: str, ref: CallRef, worker: Worker, until: datetime) -> bool:
        call = self.t.calls.get((tenant, ref.call_id))
        if (
            call is None
            or call.state is not exchange.CallState.ACCEPTED
            or (call.attempt, call.fence, call.worker_instance)
            != (ref.attempt, ref.fence, worker.instance_id)
        ):
            return False
        self.t.calls[tenant, ref.call_id] = replace(call, due_at=until)
        return True

    def keep_late_results(self, call: exchange.Call) -> None:
        key = (call.tenant, call.call_id)
        self.t.calls[key] = replace(self.t.calls[key], late_results=call.late_results)

    def _offered(self, tenant: str, tool_id: str, now: datetime) -> list[exchange.Call]:
        found = [
            call
            for call in self.t.calls.values()
            if (call.tenant, call.tool_id) == (tenant, tool_id)
            and is_past(call.due_at, now, call.state is exchange.CallState.READY)
        ]
        return sorted(found, key=lambda call: (call.due_at or now, call.call_id))
