"""The only place where exceptions become statuses."""

from __future__ import annotations

import asyncio
import logging

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # ExecuteBatchError is nowhere else

from services.chassis.calls.rpc_status import (
    CODE_OF,
    INTERNAL_REASON,
    WireStatus,
    internal_status,
    status_of,
)
from services.chassis.errors import DomainError
from services.chassis.ids import IdSource
from services.chassis.server.handlers.arities import Context
from services.chassis.server.handlers.observing import CallRecord, code_set_on

log = logging.getLogger(__name__)


def refused(
    error: BaseException, record: CallRecord, context: Context, domain: str, ids: IdSource
) -> WireStatus | None:
    """The status that ``error`` ends the call with, noted in ``record``.

    None when gRPC ends the call by itself: raise the error again then.
    """
    if isinstance(error, Exception):
        if isinstance(error, cygrpc.ExecuteBatchError):
            # A write that waited for window space when the peer went away.
            record.code = _cancel_code(context)
            return None
        if isinstance(error, grpc.aio.AbortError):
            record.code = code_set_on(context) or grpc.StatusCode.UNKNOWN
            return None
        intended = _intended(error)
        if intended is not None:
            record.code, record.reason = CODE_OF[intended.kind], intended.reason
            record.violations = tuple(intended.violations)
            return status_of(intended, domain)
    elif not isinstance(error, asyncio.CancelledError):
        return None
    elif _asked_to_stop():
        record.code = _cancel_code(context)
        return None
    # A CancelledError that gets here: a future that the handler awaited was cancelled, not the
    # call; gRPC would send nothing.
    return _internal(error, record, domain, ids)


async def abort(context: Context, status: WireStatus) -> None:
    """End the call with ``status``; raises what makes gRPC do so."""
    # Trailers that the handler has set explain the failure; on its own abort would drop them.
    set_before = tuple(context.trailing_metadata() or ())
    await context.abort(status.code, status.message, (*set_before, *status.trailers))


def _intended(error: Exception) -> DomainError | None:
    """``error`` if it is a domain error; a task group wraps the one that ended it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, DomainError) else None


def _internal(error: BaseException, record: CallRecord, domain: str, ids: IdSource) -> WireStatus:
    """Log ``error`` under an id, and tell the caller that id alone."""
    record.code, record.reason = grpc.StatusCode.INTERNAL, INTERNAL_REASON
    record.error_id = ids.new_id()
    log.error(
        "unexpected error in a handler",
        exc_info=error,
        extra={"rpc_method": record.method, "error_id": record.error_id},
    )
    return internal_status(domain, record.error_id)


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _cancel_code(context: Context) -> grpc.StatusCode:
    left_s: float | None = context.time_remaining()
    if left_s is not None and left_s <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED
