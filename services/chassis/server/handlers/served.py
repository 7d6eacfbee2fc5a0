"""What a server serves: callers are judged before a message is read, and handlers surrounded.

A handler of gRPC that finds the method and not an interceptor: one that does nothing already costs
a tenth of a bare call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc

from services.chassis.access.on_behalf import HEADER as ON_BEHALF_OF
from services.chassis.access.on_behalf import read_on_behalf
from services.chassis.access.policy import (
    ANONYMOUS,
    ANY_ROLE,
    SMALL_REQUEST_BYTES,
    Authenticator,
    MethodPolicy,
    denied,
)
from services.chassis.access.token_file import HEADER as AUTHORIZATION
from services.chassis.caller import LOCAL_PRINCIPAL, Principal
from services.chassis.calls.call import Call, begin_call
from services.chassis.calls.rpc_status import WireStatus
from services.chassis.errors import (
    DomainError,
    ErrorKind,
    InvalidRequestError,
    Retry,
    UnimplementedError,
    Violation,
)
from services.chassis.ids import IdSource
from services.chassis.protobuf.sizes import NO_SIZES, Sizes
from services.chassis.server.handlers.arities import (
    Context,
    Handler,
    Invoke,
    LargeRequest,
    OpenedHandler,
)
from services.chassis.server.handlers.errors import abort, refused
from services.chassis.server.handlers.limits import OpenCalls, Place
from services.chassis.server.handlers.observing import (
    CallLog,
    CallRecord,
    MethodObserver,
    code_set_on,
)
from services.chassis.slices import long_work

_WHO = frozenset({AUTHORIZATION, ON_BEHALF_OF})

_UNKNOWN_METHOD = MethodPolicy(roles=ANY_ROLE, deadline_cap_s=1.0, anonymous=True)


@dataclass(frozen=True, slots=True)
class CallRules:
    """What calls need to know of their server.

    Attributes:
        domain: Of the errors made here, ``registry.runyard.dev``.
        policy: A row for every method served.
        sizes: Of its requests.
        authenticator: None takes every caller for the local principal.
        housekeeping: Methods of probes and reflection: no spans, no log lines above debug.
    """

    domain: str
    policy: Mapping[str, MethodPolicy]
    sizes: Sizes
    housekeeping: frozenset[str]
    authenticator: Authenticator | None
    ids: IdSource
    call_log: CallLog


class LiveCalls:
    """Counts handlers from their first line to the end of their last ``finally``.

    ``grpc.aio.Server.stop`` can return before that, and what handlers use must outlive them.
    """

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        return self._count

    def began(self) -> None:
        self._count += 1
        if self._count == 1:
            self._idle.clear()

    def ended(self) -> None:
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Return when no handler runs."""
        await self._idle.wait()


class ServedMethod:
    """One method: its handler, its row, and what its calls share.

    Args:
        label: Name of the method in spans and metrics.
    """

    def __init__(self, rules: CallRules, path: str, label: str, handler: Handler) -> None:
        self.policy = rules.policy.get(path, _UNKNOWN_METHOD)
        self.opened = OpenedHandler(handler, self.policy.max_request_bytes, rules.sizes)
        cap_s = self.policy.deadline_cap_s
        self.cap = None if cap_s is None else Cap(cap_s)
        housekeeping = path in rules.housekeeping
        self.observer = MethodObserver(label, self.opened.unary, housekeeping, rules.call_log)


class ServedMethods(grpc.GenericRpcHandler):
    """Surrounds the handlers of all four arities.

    Args:
        handlers: By the full names of their methods, ``/PACKAGE.SERVICE/METHOD``.
    """

    def __init__(self, rules: CallRules, live: LiveCalls, handlers: Mapping[str, Handler]) -> None:
        self.rules = rules
        self.live = live
        self.open = OpenCalls()
        self._methods = {
            path: ServedMethod(rules, path, path.removeprefix("/"), handler)
            for path, handler in handlers.items()
        }
        # The name of an unknown method is whatever the caller made up: no key for spans or series.
        self._unknown = ServedMethod(rules, "", "_OTHER", _NO_HANDLER)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        path = handler_call_details.method
        method = self._methods.get(path, self._unknown)
        metadata = tuple(handler_call_details.invocation_metadata or ())
        call = _ServedCall(self, method, path, dict(metadata))
        if not method.policy.anonymous:
            try:
                call.authenticate(metadata)
            except Exception as error:  # whatever it is, the call ends with it
                # Nothing is read of a caller that may not call: its messages cost no memory.
                call.refusal = error
                return _NO_HANDLER_OPENED.around(call.serve)
        return method.opened.around(call.serve)

    def running(self) -> Iterable[tuple[int, Mapping[str, str]]]:
        """The calls that run, by the attributes of their methods."""
        for method in (*self._methods.values(), self._unknown):
            yield from method.observer.running()


class _ServedCall:
    """One call, from its metadata to its status.

    Attributes:
        refusal: Why it is refused before anything of it is read; None when it is not.
    """

    __slots__ = (
        *("_acting_run", "_ends_s", "_method", "_place", "_principal", "_record", "_server"),
        "refusal",
    )

    def __init__(
        self,
        server: ServedMethods,
        method: ServedMethod,
        path: str,
        metadata: Mapping[str, str | bytes],
    ) -> None:
        self._server = server
        self._method = method
        self._record = CallRecord(path, metadata)
        self._principal = ANONYMOUS
        self._acting_run = ""
        self._ends_s: float | None = None
        self._place: Place | None = None
        self.refusal: Exception | None = None

    def authenticate(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        """Find out who calls, and refuse who may not.

        Raises:
            DomainError: Unknown caller, wrong role, malformed or doubled metadata.
        """
        record = self._record
        if len(metadata) != len(record.metadata) and (twice := _doubled(metadata) & _WHO):
            # Of two, a proxy before us may have checked the other.
            raise InvalidRequestError.of(Violation(key, "must be sent once") for key in twice)
        principal = record.principal = self._authenticated()
        if ON_BEHALF_OF in record.metadata:
            principal, self._acting_run = read_on_behalf(principal, record.metadata)
            record.principal, record.acting_run = principal, self._acting_run
        if principal.roles.isdisjoint(self._method.policy.roles):
            raise denied(record.method, self._method.policy)
        self._principal = principal

    async def serve(self, request: Any, context: Context) -> Any:
        """Run the handler; end with the status of whatever it raises."""
        server, method, record = self._server, self._method, self._record
        record.peer = context.peer
        server.live.began()
        method.observer.begin(record)
        try:
            answer = await self._answer(request, context)
            if isinstance(answer, WireStatus):
                # Here, where the error is gone, what gRPC keeps of it does not keep the whole call.
                await abort(context, answer)
            record.code = code_set_on(context) or grpc.StatusCode.OK
            return answer
        finally:
            if self._place is not None:
                server.open.leave(self._place)
            method.observer.end(record)
            server.live.ended()

    async def _answer(self, request: Any, context: Context) -> Any:
        """What the handler answers, or the status to end with."""
        server, record = self._server, self._record
        try:
            return await self._handled(request, context)
        except BaseException as error:
            status = refused(error, record, context, server.rules.domain, server.rules.ids)
            if status is None:
                raise
            return status

    async def _handled(self, request: Any, context: Context) -> Any:
        if self.refusal is not None:
            raise self.refusal
        cap, invoke, record = self._method.cap, self._method.opened.invoke, self._record
        limit = self._method.policy.concurrent_per_principal
        if limit is not None:
            self._place = self._server.open.take(self._principal, record.method, limit)
        left_s: float | None = context.time_remaining()
        if cap is not None and (left_s is None or left_s > cap.cap_s):
            left_s = cap.cap_s
        else:
            cap = None
        if left_s is not None:
            self._ends_s = asyncio.get_running_loop().time() + left_s
        call = Call(
            record.method,
            self._principal,
            self._left,
            self._acting_run,
            record.traceparent,
            large=isinstance(request, LargeRequest),
            authenticate_again=self._principal_now,
        )
        record.call = call
        begin_call(call)
        answering = invoke(request, context) if cap is None else cap.keep(invoke, request, context)
        if not call.large:
            return await answering
        with long_work():
            return await answering

    def _authenticated(self) -> Principal:
        authenticator = self._server.rules.authenticator
        if authenticator is None:
            return LOCAL_PRINCIPAL
        return authenticator.authenticate(self._record.metadata)

    def _principal_now(self) -> Principal:
        """Who the credential of the call stands for by now."""
        principal = self._authenticated()
        if ON_BEHALF_OF in self._record.metadata:
            principal, _ = read_on_behalf(principal, self._record.metadata)
        return principal

    def _left(self) -> float | None:
        """Seconds until the caller's deadline or the method's cap; None when there is neither."""
        if self._ends_s is None:
            return None
        return max(0.0, self._ends_s - asyncio.get_running_loop().time())


async def _unknown_method(requests: object, context: Context) -> None:
    raise UnimplementedError("this server has no such method")


class DeadlineExceededError(DomainError):
    """The call ran as long as its method allows; what it did by then may or may not stand."""

    kind = ErrorKind.DEADLINE
    reason = "DEADLINE_EXCEEDED"
    retry = Retry.RETRYABLE


class Cap:
    """Ends the calls of a method that run longer than it allows.

    One timer serves them all, in the order of their starts: a timer for each would cost more than
    all else that is done for a short call.

    Args:
        cap_s: Seconds a call may run; the caller's own deadline is gRPC's to enforce.
    """

    def __init__(self, cap_s: float) -> None:
        self.cap_s = cap_s
        # When each call ends, by the clock of the loop; None once it was told to.
        self._ends_s: dict[asyncio.Task[object], float | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, invoke: Invoke, request: Any, context: Context) -> Any:
        """Run ``invoke`` for ``cap_s`` at most.

        Raises:
            DeadlineExceededError: The cap was reached.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        asked_before = task.cancelling()
        self._ends_s[task] = self._start()
        try:
            return await invoke(request, context)
        except asyncio.CancelledError as error:
            if self._ends_s[task] is None and task.cancelling() <= asked_before + 1:
                raise DeadlineExceededError(
                    f"the call took longer than the {self.cap_s:g} s its method allows",
                    cap_s=f"{self.cap_s:g}",
                ) from error
            raise
        finally:
            if self._ends_s.pop(task) is None:
                task.uncancel()

    def _start(self) -> float:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + self.cap_s
        if self._timer is None:
            self._timer = loop.call_at(ends_s, self._end_overdue)
        return ends_s

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, ends_s in self._ends_s.items():
            if ends_s is None:
                continue
            if ends_s > loop.time():
                self._timer = loop.call_at(ends_s, self._end_overdue)
                break
            self._ends_s[task] = None
            task.cancel()


# Streaming both ways, it takes a call of any arity without waiting for its first message.
_NO_HANDLER: Handler = grpc.stream_stream_rpc_method_handler(_unknown_method)
_NO_HANDLER_OPENED = OpenedHandler(_NO_HANDLER, SMALL_REQUEST_BYTES, NO_SIZES)


def _doubled(metadata: Sequence[tuple[str, str | bytes]]) -> frozenset[str]:
    """The keys that ``metadata`` has more than once."""
    counts = Counter(key for key, _ in metadata)
    return frozenset(key for key, count in counts.items() if count > 1)
