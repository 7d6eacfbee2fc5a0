"""The statements of tool workers and of the calls that they execute."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update

from services.chassis.store.statement import statement
from services.runcontrol.core.exchange import CallState
from services.runcontrol.store import tables as t
from services.runcontrol.store import worker_tables as w
from services.runcontrol.store.statements import find, put, where

_call = t.tool_call.c


def _instant(name: str) -> Any:
    return bindparam(name, type_=_call.due_at.type)


ANNOUNCE = put(w.served_tool)

ANNOUNCED = statement(
    select(w.served_tool.c.tool_id).where(*where(w.served_tool, "tenant", "tool_id", "label"))
)

SESSION = statement(
    select(w.worker_session.c.epoch)
    .where(*where(w.worker_session, "tenant", "instance_id"))
    .with_for_update()
)

PUT_SESSION = put(w.worker_session)

_KEY = (_call.tenant, t.run.c.thread_id, _call.run_id, _call.call_id)
_RUN = and_(t.run.c.tenant == _call.tenant, t.run.c.run_id == _call.run_id)
_THREAD = and_(t.thread.c.tenant == t.run.c.tenant, t.thread.c.thread_id == t.run.c.thread_id)

READY_CALLS = statement(
    select(*_KEY)
    .select_from(t.tool_call.join(t.run, _RUN))
    .where(
        *where(t.tool_call, "tenant", "tool_id", "label"),
        or_(
            bindparam("schema_digest", type_=_call.schema_digest.type) == "",
            _call.schema_digest == "",
            _call.schema_digest == bindparam("schema_digest", type_=_call.schema_digest.type),
        ),
        w.OFFERED,
        _call.due_at <= _instant("now"),
    )
    .order_by(_call.due_at, _call.call_id)
    .limit(bindparam("limit"))
)

LONGEST_READY = find(
    t.tool_call,
    *where(t.tool_call, "tenant", "tool_id"),
    w.OFFERED,
    _call.due_at <= _instant("now"),
    order_by=(_call.due_at, _call.call_id),
    limit=bindparam("limit"),
)

PROBED_CALLS = find(
    t.tool_call,
    *where(t.tool_call, "tenant"),
    w.PROBED,
    order_by=(_call.probe_until, _call.call_id),
    limit=bindparam("limit"),
)

FIND_CALL = find(t.tool_call, *where(t.tool_call, "tenant", "call_id"))

EXTEND_CALL = statement(
    update(t.tool_call)
    .where(
        *where(t.tool_call, "tenant", "call_id", "attempt", "fence", "worker_instance"),
        _call.state == CallState.ACCEPTED,
    )
    .values(due_at=_instant("to_due_at"))
)

KEEP_LATE_RESULTS = statement(
    update(t.tool_call)
    .where(*where(t.tool_call, "tenant", "call_id"))
    .values(late_results=bindparam("to_late_results", type_=_call.late_results.type))
)

OVERDUE_CALLS = statement(
    select(*_KEY)
    .select_from(t.tool_call.join(t.run, _RUN).join(t.thread, _THREAD))
    .where(
        or_(
            and_(w.LEASED, _call.due_at <= _instant("now")),
            and_(w.TIMED, _call.timeout_at <= _instant("now")),
            and_(w.PROBED, _call.probe_until <= _instant("now")),
        )
    )
    .order_by(_call.call_id)
    .limit(bindparam("limit"))
    .with_for_update(of=t.thread, skip_locked=True)
)
