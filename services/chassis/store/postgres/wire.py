"""Statements on a PostgreSQL connection, as many as wanted in one round trip.

On libpq's pipeline mode itself: the pipeline of psycopg sends each statement in a packet of its own
and polls the socket twice for it, which takes as long as the round trips that it saves.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGresult

from services.chassis.store.statement import MakeRow

# The text of a statement and the types of its parameters; the server prepares each once.
_Key = tuple[str, tuple[int, ...]]

_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


@dataclass(frozen=True, slots=True)
class Call:
    """A statement with its parameters as the server takes them; made by ``Wire.call``."""

    key: _Key
    params: Sequence[Buffer | None]
    formats: Sequence[Format]


class Wire:
    """Executes statements on ``connection``, from one thread.

    The connection is in pipeline mode only while ``execute`` runs.
    """

    def __init__(self, connection: Connection[tuple[Any, ...]]) -> None:
        self.connection = connection
        self._libpq = connection.pgconn
        self._adapters = Transformer(connection)
        self._names: dict[_Key, bytes] = {}
        self._named = 0
        self._readable = select.poll()
        self._readable.register(self._libpq.socket, select.POLLIN)

    def call(self, text: str, params: Sequence[Any] = ()) -> Call:
        """Raises: psycopg.Error: A parameter has no form in PostgreSQL."""
        adapters = self._adapters
        values = adapters.dump_sequence(params, [PyFormat.AUTO] * len(params))
        return Call((text, adapters.types or ()), values, adapters.formats or ())

    def execute(self, calls: Sequence[Call]) -> PGresult:
        """Execute ``calls``, one at least, in one round trip; return the result of the last.

        Raises:
            psycopg.Error: The first error; the server skipped the calls after it.
        """
        if self._libpq.pipeline_status != PipelineStatus.OFF:
            # The next result would be one of the statements before.
            raise psycopg.OperationalError("an earlier round trip did not end")
        self._libpq.enter_pipeline_mode()
        # One for each message that has a result: the statement that it prepares, else None.
        sent: list[_Key | None] = []
        for call in calls:
            self._send(call, sent)
        self._libpq.pipeline_sync()
        self._flush()
        results = self._results(len(sent))
        if self._libpq.status == ConnStatus.OK:
            self._libpq.exit_pipeline_mode()
        return self._checked(sent, results)

    def rows(self, result: PGresult, make: MakeRow) -> list[Any]:
        """The rows of ``result``; none if its statement returns none."""
        return self._load(result, result.ntuples, make)

    def row(self, result: PGresult, make: MakeRow) -> Any | None:
        """The first row."""
        rows = self._load(result, min(result.ntuples, 1), make)
        return rows[0] if rows else None

    def _load(self, result: PGresult, count: int, make: MakeRow) -> list[Any]:
        self._adapters.set_pgresult(result)
        return self._adapters.load_rows(0, count, make)

    def _send(self, call: Call, sent: list[_Key | None]) -> None:
        name = self._names.get(call.key)
        if name is None:
            text, types = call.key
            self._named += 1
            name = self._names[call.key] = b"s%d" % self._named
            self._libpq.send_prepare(name, text.encode(), types)
            sent.append(call.key)
        self._libpq.send_query_prepared(name, call.params, call.formats, Format.BINARY)
        sent.append(None)

    def _flush(self) -> None:
        while self._libpq.flush():
            # The server may read nothing more until its answers are read.
            both = select.poll()
            both.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
            both.poll()
            self._libpq.consume_input()

    def _results(self, count: int) -> list[PGresult]:
        results: list[PGresult] = []
        try:
            for _ in range(count):
                results.append(self._result())
                self._next()  # the end of the results of this message
            self._next()  # the end of the pipeline
        except psycopg.OperationalError:
            # The connection is lost; the server may have said why.
            if not any(result.status == ExecStatus.FATAL_ERROR for result in results):
                raise
        return results

    def _result(self) -> PGresult:
        result = self._next()
        if result is None:
            raise psycopg.OperationalError("the connection is lost")
        return result

    def _next(self) -> PGresult | None:
        while self._libpq.is_busy():
            self._readable.poll()
            self._libpq.consume_input()
        return self._libpq.get_result()

    def _checked(self, sent: Sequence[_Key | None], results: Sequence[PGresult]) -> PGresult:
        failed: PGresult | None = None
        for key, result in zip(sent, results, strict=False):
            if result.status not in _DONE:
                failed = failed or result
                if key is not None:
                    del self._names[key]
        if failed is not None:
            raise error_from_result(failed)
        return results[-1]
