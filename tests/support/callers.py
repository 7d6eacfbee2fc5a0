"""Callers for use cases that are tested without a server."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.chassis.caller import LOCAL_PRINCIPAL, Caller, KeyedRequest, RequestKey

LOCAL = Caller(LOCAL_PRINCIPAL, "/runyard.test.v1.TestService/Call")


def keyed(
    caller: Caller,
    key: str,
    digest: bytes = b"digest",
    encode: Callable[[Any], bytes] = pickle.dumps,
) -> Caller:
    """``caller`` with a ``request_id``."""
    subject = caller.principal.subject
    scope = (caller.tenant, subject, caller.acting_run, caller.method)
    request = KeyedRequest(RequestKey(*scope, key, digest), encode)
    return replace(caller, request=request)
