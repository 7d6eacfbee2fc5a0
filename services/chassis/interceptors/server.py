"""The server interceptor: every call passes its concerns in the order of ``_run``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from services.chassis.access.on_behalf import HEADER as ON_BEHALF_OF
from services.chassis.access.on_behalf import acting
from services.chassis.access.token_file import HEADER as AUTHORIZATION
from services.chassis.calls import Call, calling
from services.chassis.errors import InvalidRequestError, UnimplementedError, Violation
from services.chassis.ids import IdSource
from services.chassis.interceptors.access_log import logged
from services.chassis.interceptors.arities import Context, Handler, Invoke, surrounded
from services.chassis.interceptors.deadlines import capped, time_left
from services.chassis.interceptors.errors import statuses
from services.chassis.interceptors.live import LiveCalls
from services.chassis.interceptors.metering import metered
from services.chassis.interceptors.open_calls import OpenCalls
from services.chassis.interceptors.record import CallRecord, doubled_keys
from services.chassis.interceptors.tracing import traced
from services.chassis.policy import ANONYMOUS, ANY_ROLE, Authenticator, MethodPolicy, admit

_WHO = frozenset({AUTHORIZATION, ON_BEHALF_OF})

_UNKNOWN_METHOD = MethodPolicy(roles=ANY_ROLE, deadline_cap_s=1.0, anonymous=True)


@dataclass(frozen=True, slots=True)
class CallRules:
    """What the interceptor needs to know of its server.

    Attributes:
        domain: Of the errors made here, ``registry.runyard.dev``.
        policy: A row for every method served.
        housekeeping: Methods of probes and reflection: no spans, no log lines above debug.
    """

    domain: str
    policy: Mapping[str, MethodPolicy]
    housekeeping: frozenset[str]
    authenticator: Authenticator
    ids: IdSource


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Surrounds the handlers of all four arities."""

    def __init__(self, rules: CallRules, live: LiveCalls) -> None:
        self._rules = rules
        self._live = live
        self._open = OpenCalls()
        self._surrounded: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return surrounded(_NO_HANDLER, partial(self._run, method, False))
        known = self._surrounded.get(method)
        if known is None or known[0] is not handler:
            known = handler, surrounded(handler, partial(self._run, method, True))
            self._surrounded[method] = known
        return known[1]

    async def _run(
        self, method: str, known: bool, invoke: Invoke, request: Any, context: Context
    ) -> Any:
        rules = self._rules
        metadata = tuple(context.invocation_metadata() or ())
        record = CallRecord(
            method=method,
            policy=rules.policy[method] if known else _UNKNOWN_METHOD,
            peer=context.peer(),
            metadata=dict(metadata),
            doubled=doubled_keys(metadata),
            known=known,
            housekeeping=method in rules.housekeeping,
        )
        with self._live.counted(), traced(record), metered(record), logged(record):
            async with statuses(record, context, rules.domain, rules.ids):
                call = await self._admitted(record, context)
                with self._open.place(call.principal, method, record.policy):
                    async with capped(context, record.policy.deadline_cap_s):
                        with calling(call):
                            return await invoke(request, context)

    async def _admitted(self, record: CallRecord, context: Context) -> Call:
        principal = ANONYMOUS
        if not record.policy.anonymous:
            if twice := record.doubled & _WHO:
                # Of two, a proxy before us may have checked the other.
                raise InvalidRequestError.of(Violation(key, "must be sent once") for key in twice)
            authenticate = self._rules.authenticator.authenticate
            record.principal = await authenticate(record.metadata, record.peer)
            record.principal = principal = acting(record.principal, record.metadata)
            admit(principal, record.method, record.policy)
        left = time_left(context, record.policy.deadline_cap_s)
        return Call(record.method, principal, record.peer, left)


async def _unknown_method(requests: object, context: Context) -> None:
    raise UnimplementedError("this server has no such method")


# Streaming both ways, it takes a call of any arity without waiting for its first message.
_NO_HANDLER: Handler = grpc.stream_stream_rpc_method_handler(_unknown_method)
