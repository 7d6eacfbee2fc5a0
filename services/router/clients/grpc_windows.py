"""Reads the rate windows of a provider over gRPC, from metadata and details of a status."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import grpc
from google.rpc.error_details_pb2 import QuotaFailure

from services.chassis.calls.rpc_status import detail_of
from services.router.clients.quota_headers import MAX_KIND_CHARS, REQUESTS, quota_windows
from services.router.core.quota_windows import MAX_WINDOWS, QuotaWindow

SOURCE = "google.rpc.QuotaFailure"


def windows_of_metadata(
    metadata: Iterable[tuple[str, str | bytes]] | None, now: datetime
) -> tuple[QuotaWindow, ...]:
    """As of the same headers over HTTP."""
    pairs = metadata or ()
    return quota_windows({key: value for key, value in pairs if isinstance(value, str)}, now)


def windows_of_status(
    error: grpc.aio.AioRpcError, retry_after_s: float | None, now: datetime
) -> tuple[QuotaWindow, ...]:
    """The limits whose excess the status tells of, and those in the metadata around it.

    Args:
        retry_after_s: When there is something left of the former; None when unknown.
    """
    reset_at = None if retry_after_s is None else now + timedelta(seconds=retry_after_s)
    failure = detail_of(error, QuotaFailure) or QuotaFailure()
    exceeded = tuple(_window(each, reset_at) for each in failure.violations)
    before, after = error.initial_metadata(), error.trailing_metadata()
    told = (*windows_of_metadata(before, now), *windows_of_metadata(after, now))
    return (*exceeded, *told)[:MAX_WINDOWS]


def _window(violation: QuotaFailure.Violation, reset_at: datetime | None) -> QuotaWindow:
    kind = violation.quota_id or violation.quota_metric or violation.subject or REQUESTS
    limit = max(0, violation.quota_value) or None
    return QuotaWindow(kind[:MAX_KIND_CHARS], limit, 0, reset_at, SOURCE)
