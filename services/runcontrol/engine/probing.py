"""Asks workers what has become of lost calls: of each call one worker at a time."""

from __future__ import annotations

from collections.abc import Sequence

from services.runcontrol.core.exchange import Call
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.worker_calls import CallRef
from services.runcontrol.core.worker_messages import Finding, Probe
from services.runcontrol.engine.worker_session import Session


class Probing:
    def __init__(self, workers: ToolWorkers) -> None:
        self._workers = workers

    async def ask(self, sessions: Sequence[Session]) -> None:
        """Ask about every lost call whose tool one of the sessions serves.

        One that leaves without an answer is followed by another one.
        """
        for tenant in sorted({session.tenant for session in sessions}):
            own = [session for session in sessions if session.tenant == tenant]
            for lost in await self._workers.lost(tenant):
                await self._ask_one(own, lost)

    async def _ask_one(self, sessions: Sequence[Session], lost: Call) -> None:
        ref = CallRef(lost.call_id, lost.attempt, lost.fence)
        if any(session.probes.get(lost.call_id) == ref for session in sessions):
            return
        able = [session for session in sessions if session.may_have(lost)]
        # The worker that had the call knows best: it may still be executing it.
        able.sort(key=lambda each: each.hello.worker.instance_id != lost.worker_instance)
        session = next(iter(able), None)
        taken = await self._workers.to_probe(lost) if session else None
        if session is not None and taken is not None:
            session.probes[lost.call_id] = taken.ref
            session.out.put_nowait(Probe(taken))

    async def take(self, session: Session, found: Finding) -> None:
        """Take an answer; one to a question that was not asked counts for nothing."""
        if session.probes.get(found.ref.call_id) == found.ref:
            await self._workers.take_finding(session.tenant, found.ref, found.effect, found.content)
            del session.probes[found.ref.call_id]
