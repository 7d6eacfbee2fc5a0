"""Tickets, decisions and wakes in a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.chassis.store.port import Tx
from services.runcontrol.core.exchange import Call, Decision, Ticket, Wake
from services.runcontrol.core.model import tickets_channel
from services.runcontrol.core.ports import TicketKey
from services.runcontrol.store import statements as sql
from services.runcontrol.store import ticket_statements as changes
from services.runcontrol.store.rows import every, one, params_of


class SqlTickets:
    """Implements ``TicketTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        return one(self._tx, Ticket, sql.FIND_TICKET, tenant=tenant, ticket_id=ticket_id)

    def live_tickets(self, tenant: str, run_id: str, call: str) -> list[Ticket]:
        return list(
            every(self._tx, Ticket, sql.LIVE_OF_CALL, tenant=tenant, run_id=run_id, call=call)
        )

    def expired_tickets(self, now: datetime, limit: int) -> list[TicketKey]:
        return [tuple(row) for row in self._tx.all(sql.EXPIRED_TICKETS, now=now, limit=limit)]

    def decision(self, tenant: str, ticket_id: str, decision_id: str) -> Decision | None:
        return one(
            self._tx,
            Decision,
            sql.FIND_DECISION,
            tenant=tenant,
            ticket_id=ticket_id,
            decision_id=decision_id,
        )

    def add_decision(self, tenant: str, ticket_id: str, decision: Decision) -> None:
        self._tx.run(sql.PUT[Decision], **params_of(decision), tenant=tenant, ticket_id=ticket_id)

    def waiting_call(self, tenant: str, run_id: str, condition_id: str) -> Call | None:
        return one(
            self._tx,
            Call,
            sql.WAITING_CALL,
            tenant=tenant,
            run_id=run_id,
            condition_id=condition_id,
        )

    def find_wake(self, tenant: str, pool_id: str, condition_id: str) -> Wake | None:
        return one(
            self._tx, Wake, sql.FIND_WAKE, tenant=tenant, pool_id=pool_id, condition_id=condition_id
        )

    def shown(self, tenant: str, run_id: str, pool_id: str, ids: Iterable[str]) -> frozenset[str]:
        key = {"tenant": tenant, "run_id": run_id, "pool_id": pool_id}
        return frozenset(i for i in ids if self._tx.one(sql.SHOWN, message_id=i, **key))


def note_changes(tx: Tx, tenant: str, changed: Iterable[Ticket]) -> None:
    """Give each ticket the next place among the changes of the tenant's tickets."""
    tickets = tuple(changed)
    if not tickets:
        return
    (head,) = tx.all(changes.RAISE_HEAD, tenant=tenant, seq=len(tickets))
    for seq, ticket in enumerate(tickets, int(head.seq) - len(tickets) + 1):
        tx.run(changes.PUT_CHANGE, tenant=tenant, ticket_id=ticket.ticket_id, seq=seq)
    tx.notify(tickets_channel(tenant))
