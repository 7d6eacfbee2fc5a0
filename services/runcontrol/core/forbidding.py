"""What a newer version of the registry forbids a run that was submitted before.

A run keeps the specifications that it was submitted with, but for this: a tool that is denied by
now is not started any more.
"""

from __future__ import annotations

from dataclasses import replace

from services.content.model import Approval
from services.runcontrol.core.events import TicketVoided
from services.runcontrol.core.exchange import Call, CallState, TicketState
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.specs import Catalog, Specs, ToolSpec
from services.runcontrol.core.work import Work

# Why a ticket is void whose call may not start any more.
VOID_REASON = "denied"


def in_force(specs: Specs, newest: Catalog | None) -> Specs:
    """Pinned specifications, with what the newest registry version denies."""
    if newest is None:
        return specs
    agent_id, version = specs.agent.agent_id, newest.version
    denied = [
        replace(tool, denied_by=version)
        for tool in specs.tools
        if tool.approval is not Approval.DENY and newest.denies(agent_id, tool.tool_id)
    ]
    if not denied:
        return specs
    by_id = {tool.tool_id: tool for tool in denied}
    return replace(specs, tools=tuple(by_id.get(tool.tool_id, tool) for tool in specs.tools))


def denial(tool: ToolSpec) -> str:
    """What is said of a call that a newer registry version denies."""
    return f"denied by policy: registry version {tool.denied_by} forbids {tool.tool_id}"


def forbid(work: Work, call: Call, tool: ToolSpec) -> Work:
    """Let a call fail that has not started; its ticket becomes void."""
    ticket = work.ticket_of(call.call_id)
    if ticket is not None:
        void = replace(ticket, state=TicketState.VOID, void_reason=VOID_REASON)
        work = work.with_ticket(void).emit(TicketVoided(ticket.ticket_id, VOID_REASON))
    return settle_call(work, call, CallState.FAILED, denial(tool))
