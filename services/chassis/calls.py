"""The call that runs: who makes it, how long it may take, and its idempotency key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from services.chassis.caller import Principal, Replay, RequestKey
from services.chassis.errors import InvalidRequestError
from services.chassis.ids import id_violations

_DIGEST_VERSION = b"\x01"

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC in progress.

    Attributes:
        method: Full gRPC method name, ``/runyard.registry.v1.RegistryService/ApplyResources``.
        peer: Address of the other end as gRPC writes it, ``ipv4:127.0.0.1:50000``.
        deadline_s_left: Seconds until the caller's deadline or the method's cap, whichever is
            first; None when the call may run for ever.
    """

    method: str
    principal: Principal
    peer: str
    deadline_s_left: Callable[[], float | None]


class KeyedRequest(Protocol):
    """A generated request message with a ``request_id`` field."""

    @property
    def request_id(self) -> str: ...


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


@contextmanager
def calling(call: Call) -> Iterator[None]:
    """Make ``call`` the current one for the length of the block."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def request_key(request: KeyedRequest) -> RequestKey | None:
    """The idempotency key of the current call; None when the caller sent none.

    Raises:
        InvalidRequestError: ``request_id`` is not a legal id.
    """
    key = request.request_id
    if not key:
        return None
    if violations := id_violations(key, "request_id"):
        raise InvalidRequestError.of(violations)
    call = current_call()
    return RequestKey(call.principal.tenant, call.method, key, _digest(request))


def reply(response: type[M], answer: T | Replay, to_pb: Callable[[T], M]) -> M:
    """The response message of ``answer``, whether made just now or stored by an earlier call."""
    if isinstance(answer, Replay):
        return response.FromString(answer.body)
    return to_pb(answer)


def _digest(request: KeyedRequest) -> bytes:
    if not isinstance(request, Message):
        raise TypeError(f"not a protobuf message: {type(request).__name__}")
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return _DIGEST_VERSION + hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
