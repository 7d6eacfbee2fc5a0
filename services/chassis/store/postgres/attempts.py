"""One attempt to run a closure on PostgreSQL: begin, run, end.

write    BEGIN · closure · COMMIT          rolled back if anything fails before the COMMIT
read     BEGIN … READ ONLY · closure · COMMIT
"""

from __future__ import annotations

import time
from typing import NoReturn

import psycopg

from services.chassis.failpoints import FailpointError
from services.chassis.store import store_failpoints
from services.chassis.store.errors import RETRY_AFTER_S, OutcomeUnknownError, read_too_long
from services.chassis.store.job import Job
from services.chassis.store.postgres.errors import (
    Failure,
    failure,
    was_canceled,
)
from services.chassis.store.postgres.session import Session
from services.chassis.store.postgres.tx import PostgresReadTx, PostgresTx


def write_once(session: Session, job: Job) -> set[str]:
    """Run and commit the closure of ``job``; return the channels to notify.

    Raises:
        psycopg.Error: Nothing was applied.
        OutcomeUnknownError: The write may or may not have been applied.
        Exception: The closure raised it; nothing was applied.
    """
    store_failpoints.BEGINNING.reach()
    tx = PostgresTx(*session.beginning())
    try:
        job.value = job.fn(tx)
        store_failpoints.CLOSING.reach()
        tx.refuse_doomed()
        tx.refuse_ended()
        store_failpoints.COMMITTING.reach()
    except BaseException as error:
        tx.end()
        session.roll_back()
        _raise_cause(tx, error)
    _commit(session, tx)
    try:
        store_failpoints.COMMITTED.reach()
    except FailpointError as error:
        job.fail(error)
    return tx.notified


def read_once(session: Session, job: Job, limit_s: float) -> None:
    """Run the closure of ``job`` on one snapshot.

    Raises:
        psycopg.Error: The database failed.
        StoreUnavailableError: The closure took longer than ``limit_s``.
        Exception: The closure raised it.
    """
    tx = PostgresReadTx(*session.beginning(), time.monotonic() + limit_s)
    try:
        job.value = job.fn(tx)
        tx.refuse_doomed()
    except BaseException as error:
        tx.end()
        session.roll_back()
        if tx.doomed is not None and was_canceled(tx.doomed):
            raise read_too_long() from None
        _raise_cause(tx, error)
    tx.end()
    session.finish()


def _raise_cause(tx: PostgresTx, error: BaseException) -> NoReturn:
    """Raise the first database error, or ``error`` if the closure replaced it by an own error.

    A database error after which a retry may succeed is raised in any case.
    """
    if tx.doomed is None or tx.doomed is error:
        raise error
    if isinstance(error, psycopg.Error) or failure(tx.doomed) is not Failure.FINAL:
        raise tx.doomed
    raise error


def _commit(session: Session, tx: PostgresTx) -> None:
    try:
        tx.commit()
    except psycopg.Error as error:
        if failure(error) is not Failure.CONNECTION or not tx.committing:
            session.roll_back()
            raise
        session.drop()
        raise OutcomeUnknownError(
            "the connection to the database was lost during the commit, so nobody knows whether "
            "the write was applied; repeat it with its request id",
            cause="OUTCOME_UNKNOWN",
            retry_after_s=RETRY_AFTER_S,
        ) from error
    finally:
        tx.end()
