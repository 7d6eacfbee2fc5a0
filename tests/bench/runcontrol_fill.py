"""Fills the database of a run control that is stopped, by copies of what its API has made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def database(data: Path) -> Iterator[sqlite3.Connection]:
    """The database in the folder of a stack, committed at the end of the block."""
    with closing(sqlite3.connect(data / "runcontrol.db")) as connection, connection:
        yield connection


def lengthen(connection: sqlite3.Connection, thread_id: str, messages: int) -> None:
    """Repeat the first two messages of a thread, a question and its answer, up to ``messages``.

    Each pair is that of a run of its own.
    """
    columns = _columns(connection, "message")
    found = _rows(connection, "message", "thread_id", thread_id)[:2]
    (newest,) = connection.execute(
        "SELECT message_seq FROM thread WHERE thread_id = ?", [thread_id]
    ).fetchone()
    for seq in range(newest + 1, messages + 1):
        copied = found[(seq - newest - 1) % 2] | {"seq": seq, "run_id": f"filled-{(seq - 1) // 2}"}
        _insert(connection, "message", columns, copied)
    connection.execute(
        "UPDATE thread SET message_seq = max(message_seq, ?) WHERE thread_id = ?",
        [messages, thread_id],
    )


def multiply(connection: sqlite3.Connection, run_id: str, copies: int) -> None:
    """Make copies of a parked run with its thread, its calls, its conversation and its events."""
    (run,) = _rows(connection, "run", "run_id", run_id)
    thread_id = run["thread_id"]
    tables = {
        "thread": ("thread_id", thread_id),
        "run": ("run_id", run_id),
        "tool_call": ("run_id", run_id),
        "message": ("thread_id", thread_id),
        "event": ("thread_id", thread_id),
        "membership": ("run_id", run_id),
    }
    for table, (column, value) in tables.items():
        columns = _columns(connection, table)
        for row in _rows(connection, table, column, value):
            for number in range(copies):
                _insert(connection, table, columns, _renamed(row, f".{number}"))


def _renamed(row: dict[str, Any], suffix: str) -> dict[str, Any]:
    named = ("thread_id", "run_id", "call_id", "condition_id", "active_run_id")
    own = {name: f"{row[name]}{suffix}" for name in named if row.get(name)}
    pointers = ("open_run_id", "latest_run_id")
    return row | own | {name: f"{row[name]}{suffix}" for name in pointers if row.get(name)}


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _rows(
    connection: sqlite3.Connection, table: str, column: str, value: str
) -> list[dict[str, Any]]:
    found = connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", [value])  # noqa: S608  # names of this module
    names = [each[0] for each in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _insert(
    connection: sqlite3.Connection, table: str, columns: list[str], row: dict[str, Any]
) -> None:
    places = ", ".join("?" * len(columns))
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608  # names of this module
        [row[name] for name in columns],
    )
