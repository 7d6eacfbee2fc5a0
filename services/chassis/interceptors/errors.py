"""The only place where exceptions become statuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # ExecuteBatchError is nowhere else

from services.chassis.errors import DomainError
from services.chassis.ids import IdSource
from services.chassis.interceptors.arities import Context
from services.chassis.interceptors.record import CallRecord
from services.chassis.rpc_status import (
    CODE_OF,
    INTERNAL_REASON,
    WireStatus,
    internal_status,
    status_of,
)

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@asynccontextmanager
async def statuses(
    record: CallRecord, context: Context, domain: str, ids: IdSource
) -> AsyncIterator[None]:
    """End the call with the status of whatever the block raises, and note it in ``record``."""
    try:
        yield
    except asyncio.CancelledError as error:
        if _asked_to_stop():
            record.code = _cancel_code(context)
            raise
        # Some future that the handler awaited was cancelled, not the call: grpc would send nothing.
        await _refuse_quietly(record, context, domain, ids, error)
    except cygrpc.ExecuteBatchError:
        # A write that waited for window space when the peer went away.
        record.code = _cancel_code(context)
        raise
    except grpc.aio.AbortError:
        record.code = _code_set_on(context, grpc.StatusCode.UNKNOWN)
        raise
    except Exception as error:
        intended = _intended(error)
        if intended is None:
            await _refuse_quietly(record, context, domain, ids, error)
        record.code, record.reason = CODE_OF[intended.kind], intended.reason
        await _abort(context, status_of(intended, domain))
    else:
        record.code = _code_set_on(context, grpc.StatusCode.OK)


def _intended(error: Exception) -> DomainError | None:
    """``error`` if it is a domain error; a task group wraps the one that ended it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, DomainError) else None


async def _refuse_quietly(
    record: CallRecord, context: Context, domain: str, ids: IdSource, error: BaseException
) -> NoReturn:
    """Tell the log what happened, and the caller where in the log to look."""
    record.code, record.reason = grpc.StatusCode.INTERNAL, INTERNAL_REASON
    record.error_id = ids.new_id()
    log.error(
        "unexpected error in a handler",
        exc_info=error,
        extra={"rpc_method": record.method, "error_id": record.error_id},
    )
    await _abort(context, internal_status(domain, record.error_id))


async def _abort(context: Context, status: WireStatus) -> NoReturn:
    # Trailers that the handler has set explain the failure; on its own abort would drop them.
    set_before = tuple(context.trailing_metadata() or ())
    await context.abort(status.code, status.message, (*set_before, *status.trailers))


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _cancel_code(context: Context) -> grpc.StatusCode:
    left_s: float | None = context.time_remaining()
    if left_s is not None and left_s <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


def _code_set_on(context: Context, otherwise: grpc.StatusCode) -> grpc.StatusCode:
    """What a handler set by hand: those of the health and reflection packages do."""
    code: object = context.code()
    if isinstance(code, int):
        code = _CODES.get(code)
    return code if isinstance(code, grpc.StatusCode) and code.value[0] else otherwise
