"""The statements that read calls with parts of their texts, which may be large."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select, text

from services.chassis.store.statement import statement
from services.runcontrol.store import tables as t
from services.runcontrol.store.statements import where

_LARGE = ("arguments_json", "result")


def _part(name: str, begins_behind: str) -> Any:
    # PostgreSQL counts characters with integers of 32 bits, and converts no larger ones to them.
    start = text(f"CAST(:{begins_behind} AS INTEGER) + 1")
    return func.substr(t.tool_call.c[name], start, text("CAST(:chars AS INTEGER)")).label(name)


_COLUMNS = (
    *(column for column in t.tool_call.c if column.name not in _LARGE),
    _part("arguments_json", "arguments_from"),
    _part("result", "result_from"),
    func.length(t.tool_call.c.arguments_json).label("arguments_chars"),
    func.length(t.tool_call.c.result).label("result_chars"),
)

# Newest first.
CALLS_OF_RUN = statement(
    select(*_COLUMNS)
    .where(*where(t.tool_call, "tenant", "run_id"))
    .order_by(t.tool_call.c.step.desc(), t.tool_call.c.index.desc())
    .limit(bindparam("limit"))
)

CALL_OF_RUN = statement(select(*_COLUMNS).where(*where(t.tool_call, "tenant", "run_id", "call_id")))
