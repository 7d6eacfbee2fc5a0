"""Says why a call waits that a worker serves the tool of: that one was built for another schema."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.runcontrol.core.exchange import Call
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.worker_messages import SchemaMismatch
from services.runcontrol.engine.worker_session import Session

log = logging.getLogger(__name__)


class Withholding:
    def __init__(self, workers: ToolWorkers) -> None:
        self._workers = workers

    async def explain(self, sessions: Sequence[Session]) -> None:
        """Record it with every such call, and tell the worker."""
        for tenant, tool_id in sorted(_particular(sessions)):
            own = [session for session in sessions if session.tenant == tenant]
            for call in await self._workers.longest_ready(tenant, tool_id):
                await self._explain_one(own, call)

    async def _explain_one(self, sessions: Sequence[Session], call: Call) -> None:
        serve = [session for session in sessions if session.served(call.tool_id, call.label)]
        if not serve or any(session.may_have(call) for session in serve):
            return
        schema = (call.tool_id, call.schema_digest)
        untold = [session for session in serve if schema not in session.told]
        if call.withheld_from and not untold:
            return
        tool = await self._workers.withhold(call, serve[0].hello.worker)
        if tool is not None:
            for session in untold:
                session.told.add(schema)
                _tell(session, tool)


def _tell(session: Session, tool: ToolSpec) -> None:
    session.out.put_nowait(SchemaMismatch(tool))
    log.warning(
        "a worker was built for another schema than calls that wait",
        extra={
            "worker_id": session.hello.worker.worker_id,
            "tool_id": tool.tool_id,
            "tool_version": tool.version,
        },
    )


def _particular(sessions: Sequence[Session]) -> set[tuple[str, str]]:
    """Tenants and tools of workers that were built for a certain schema."""
    return {
        (session.tenant, tool.tool_id)
        for session in sessions
        for tool in session.hello.tools
        if tool.schema_digest
    }
