"""One attempt at a closure on PostgreSQL: begin, run, end.

write    BEGIN · closure · COMMIT          undone when anything fails before the COMMIT
read     BEGIN … READ ONLY · closure · ROLLBACK
"""

from __future__ import annotations

import time
from typing import NoReturn

import psycopg
from psycopg.pq import TransactionStatus

from services.chassis.failpoints import FailpointError
from services.chassis.store import places
from services.chassis.store.errors import RETRY_AFTER_S, OutcomeUnknownError, read_too_long
from services.chassis.store.job import Job
from services.chassis.store.postgres_errors import (
    Failure,
    failure,
    was_canceled,
)
from services.chassis.store.postgres_session import Session
from services.chassis.store.postgres_tx import Cursor, PostgresReadTx, PostgresTx


def write_once(session: Session, job: Job) -> set[str]:
    """Run and commit the closure of ``job``; answers the channels to ring.

    Raises:
        psycopg.Error: Nothing was applied.
        OutcomeUnknownError: Nobody knows whether it was.
        Exception: What the closure raised; nothing was applied.
    """
    places.BEGINNING.reach()
    cursor = session.begin()
    tx = PostgresTx(cursor)
    try:
        job.value = job.fn(tx)
        places.CLOSING.reach()
        tx.refuse_doomed()
        _refuse_ended(cursor)
        places.COMMITTING.reach()
    except BaseException as error:
        session.roll_back()
        _raise_cause(tx, error)
    finally:
        tx.end()
    _commit(session, cursor)
    try:
        places.COMMITTED.reach()
    except FailpointError as error:
        job.fail(error)
    return tx.rung


def read_once(session: Session, job: Job, limit_s: float) -> None:
    """Run the closure of ``job`` on one snapshot.

    Raises:
        psycopg.Error: The database failed.
        StoreUnavailableError: It took longer than ``limit_s``.
        Exception: What the closure raised.
    """
    tx = PostgresReadTx(session.begin(), time.monotonic() + limit_s)
    try:
        job.value = job.fn(tx)
        tx.refuse_doomed()
    except BaseException as error:
        if tx.doomed is not None and was_canceled(tx.doomed):
            raise read_too_long() from None
        _raise_cause(tx, error)
    finally:
        tx.end()
        session.roll_back()


def _raise_cause(tx: PostgresTx, error: BaseException) -> NoReturn:
    """The first error of the database, unless the closure made its own answer of it.

    Not even that stands where another attempt can do better.
    """
    if tx.doomed is None or tx.doomed is error:
        raise error
    if isinstance(error, psycopg.Error) or failure(tx.doomed) is not Failure.FINAL:
        raise tx.doomed
    raise error


def _refuse_ended(cursor: Cursor) -> None:
    if cursor.connection.pgconn.transaction_status != TransactionStatus.INTRANS:
        raise RuntimeError("a closure ended its transaction itself")


def _commit(session: Session, cursor: Cursor) -> None:
    try:
        cursor.execute(b"COMMIT")
    except psycopg.Error as error:
        if failure(error) is not Failure.CONNECTION:
            raise  # a deferred constraint, say: the server has undone it and said so
        session.drop()
        raise OutcomeUnknownError(
            "the connection to the database was lost during the commit, so nobody knows whether "
            "the write was applied; repeat it with its request id",
            cause="OUTCOME_UNKNOWN",
            retry_after_s=RETRY_AFTER_S,
        ) from error
