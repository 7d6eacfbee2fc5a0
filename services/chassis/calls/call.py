"""The call that is served: who makes it, how long it may take, its idempotency key, its reply."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from google.protobuf.message import Message

from services.chassis.access.policy import UnauthenticatedError
from services.chassis.caller import Caller, KeyedRequest, Principal, Replay, RequestKey
from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.chassis.slices import in_slices

_DIGEST_VERSION = b"\x01"

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class Call:
    """One RPC in progress.

    Attributes:
        method: Full gRPC method name, ``/runyard.registry.v1.RegistryService/ApplyResources``.
        deadline_s_left: Seconds until the caller's deadline or the method's cap, whichever is
            first; None when the call may run for ever.
        acting_run: The run that acts through the caller; empty when none does.
        traceparent: Of the call's span, in W3C form; empty when there is none.
        large: What is made of its request is made in slices.
        replayed: The response is a stored one; set by ``MutationResponse``.
        authenticate_again: Returns who the credential of the call stands for now, for calls that
            last; raises UnauthenticatedError once it is not valid any more.
    """

    method: str
    principal: Principal
    deadline_s_left: Callable[[], float | None]
    acting_run: str = ""
    traceparent: str = ""
    large: bool = False
    replayed: bool = False
    authenticate_again: Callable[[], Principal] | None = None


_current: ContextVar[Call | None] = ContextVar("current_call", default=None)


def current_call() -> Call:
    """The call whose handler runs this code, tasks it started included.

    Raises:
        LookupError: No handler runs: an owned loop, a thread, or a test without a server.
    """
    call = _current.get()
    if call is None:
        raise LookupError("no call is being handled here")
    return call


def find_call() -> Call | None:
    """As ``current_call``; None outside a handler."""
    return _current.get()


def begin_call(call: Call) -> None:
    """Make ``call`` the current one to the end of this task, and in tasks that it starts."""
    _current.set(call)


@contextmanager
def calling(call: Call) -> Iterator[None]:
    """Make ``call`` the current one for the length of the block."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def current_caller() -> Caller:
    """Who makes the current call, for a use case that changes nothing."""
    call = current_call()
    return Caller(call.principal, call.method, call.acting_run, None, call.traceparent)


def require_same_principal() -> None:
    """Refuse to go on with a call whose credential has expired, or stands for something else now.

    Raises:
        UnauthenticatedError: It was opened with a credential that opens no such call any more.
    """
    call = current_call()
    if call.authenticate_again is not None and call.authenticate_again() != call.principal:
        raise UnauthenticatedError("what the credential allows was changed: open the call again")


async def decoded(request: M, decode: Callable[[M], T]) -> T:
    """What ``decode`` makes of ``request``; of a large one in slices."""
    if current_call().large:
        return await in_slices(lambda: decode(request))
    return decode(request)


class MutationResponse(Generic[T, M]):
    """How the result of a mutation becomes its response, now and for every repeat.

    Args:
        response: The generated message.
        to_pb: Makes it of the result.
    """

    def __init__(self, response: type[M], to_pb: Callable[[T], M]) -> None:
        self._response = response
        self._to_pb = to_pb

    async def answer(
        self, request: Message, use_case: Callable[[Caller], Awaitable[T | Replay]]
    ) -> M:
        """The response to ``request``: of ``use_case``, or the one that was stored for it."""
        answer = await use_case(await self._caller(request))
        if isinstance(answer, Replay):
            current_call().replayed = True
            return self._response.FromString(answer.body)
        if current_call().large:
            return await in_slices(lambda: self._to_pb(answer))
        return self._to_pb(answer)

    async def _caller(self, request: Message) -> Caller:
        request_id: str = getattr(request, "request_id")  # noqa: B009  # of every mutating request
        caller = current_caller()
        if not request_id:
            return caller
        if violations := request_id_violations(request):
            return replace(caller, request_violations=tuple(violations))
        if current_call().large:
            digest = await in_slices(lambda: _digest(request))
        else:
            digest = _digest(request)
        key = _key(caller, request_id, digest)
        return replace(caller, request=KeyedRequest(key, self._encode))

    def _encode(self, result: T) -> bytes:
        return self._to_pb(result).SerializeToString(deterministic=True)


def request_id_violations(request: Message) -> list[Violation]:
    """What is wrong with the ``request_id``; an empty one is legal.

    For decoders, which report it beside everything else that is wrong.
    """
    request_id: str = getattr(request, "request_id")  # noqa: B009
    return id_violations(request_id, "request_id") if request_id else []


def _key(caller: Caller, request_id: str, digest: bytes) -> RequestKey:
    return RequestKey(
        tenant=caller.tenant,
        subject=caller.principal.subject,
        acting_run=caller.acting_run,
        method=caller.method,
        key=request_id,
        digest=digest,
    )


def _digest(request: Message) -> bytes:
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return _DIGEST_VERSION + hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
