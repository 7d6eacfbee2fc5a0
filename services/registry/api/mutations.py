"""What every mutating request carries: who asks, and the key of a repeat."""

from __future__ import annotations

from services.chassis.calls import KeyedRequest, current_call, request_key
from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.registry.core.ports import Origin


def origin_of(request: KeyedRequest) -> Origin:
    """Of the call in progress; ``key_violations`` of ``request`` belong to its command."""
    call = current_call()
    key = None if key_violations(request) else request_key(request)
    return Origin(call.principal, call.method, key)


def key_violations(request: KeyedRequest) -> list[Violation]:
    """Reported beside everything else that is wrong with the request, not before it."""
    return id_violations(request.request_id, "request_id") if request.request_id else []
