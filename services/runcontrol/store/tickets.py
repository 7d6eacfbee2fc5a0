"""Tickets, decisions and wakes inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, or_, select, text

from services.chassis.store.port import Tx
from services.chassis.store.statement import statement
from services.runcontrol.core.exchange import Call, Decision, Ticket, Wake
from services.runcontrol.store import tables as t
from services.runcontrol.store.mappers import CALL, DECISION, FIND_TICKET, TICKET, WAKE, where

_LIVE_OF_CALL = TICKET.find(
    *where(t.ticket, "tenant", "run_id"),
    t.LIVE,
    or_(t.ticket.c.call_id == bindparam("call"), t.ticket.c.model_call_id == bindparam("call")),
    order_by=(t.ticket.c.created_at, t.ticket.c.ticket_id),
)
_DECISION = DECISION.find(*where(t.decision, "tenant", "ticket_id", "decision_id"))
_WAITING_CALL = CALL.find(*where(t.tool_call, "tenant", "run_id", "condition_id"))
_WAKE = WAKE.find(*where(t.wake, "tenant", "pool_id", "condition_id"))
_SHOWN = statement(
    select(t.delivery.c.message_id).where(
        *where(t.delivery, "tenant", "run_id", "pool_id", "message_id"), text("shown")
    )
)


class SqlTickets:
    """``TicketTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        return TICKET.one(self._tx, FIND_TICKET, tenant=tenant, ticket_id=ticket_id)

    def live_tickets(self, tenant: str, run_id: str, call: str) -> list[Ticket]:
        return list(TICKET.all(self._tx, _LIVE_OF_CALL, tenant=tenant, run_id=run_id, call=call))

    def decision(self, tenant: str, ticket_id: str, decision_id: str) -> Decision | None:
        return DECISION.one(
            self._tx, _DECISION, tenant=tenant, ticket_id=ticket_id, decision_id=decision_id
        )

    def add_decision(self, tenant: str, ticket_id: str, decision: Decision) -> None:
        DECISION.save(self._tx, decision, tenant=tenant, ticket_id=ticket_id)

    def waiting_call(self, tenant: str, run_id: str, condition_id: str) -> Call | None:
        return CALL.one(
            self._tx, _WAITING_CALL, tenant=tenant, run_id=run_id, condition_id=condition_id
        )

    def find_wake(self, tenant: str, pool_id: str, condition_id: str) -> Wake | None:
        return WAKE.one(self._tx, _WAKE, tenant=tenant, pool_id=pool_id, condition_id=condition_id)

    def shown(self, tenant: str, run_id: str, pool_id: str, ids: Iterable[str]) -> frozenset[str]:
        key = {"tenant": tenant, "run_id": run_id, "pool_id": pool_id}
        return frozenset(i for i in ids if self._tx.one(_SHOWN, message_id=i, **key))
