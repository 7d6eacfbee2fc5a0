"""A server of ``provider.v1`` that behaves as a test tells it to.

    async with grpc_upstream() as upstream:
        upstream.answers(text("hello"), finish())
        ... call upstream.target ...
        assert upstream.requests[0].body.upstream_model == "gpt"

What is queued with ``answers`` is used up one per call; ``always`` stays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from runyard.provider.v1 import provider_pb2 as pb
from runyard.provider.v1 import provider_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from tests.support.waiting import until

SERVICE = "runyard.provider.v1.InferenceProviderService"


@dataclass(frozen=True, slots=True)
class Pause:
    """Sends nothing until the call is cancelled or its deadline has passed."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Ends the call with a status.

    Attributes:
        details: Bytes are sent as they are, in place of a ``google.rpc.Status``.
    """

    code: grpc.StatusCode
    text: str = ""
    details: Sequence[Message] | bytes = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """Sends the initial metadata."""

    pairs: tuple[tuple[str, str | bytes], ...]


Move: TypeAlias = rpc.InferResponse | bytes | Pause | Abort | Metadata


@dataclass(frozen=True, slots=True)
class Request:
    body: rpc.InferRequest
    metadata: Mapping[str, str]
    peer: str
    left_s: float | None


@dataclass
class GrpcUpstream:
    """The server; ``cancelled`` counts the calls that did not end by themselves, ``pauses`` those
    that came to a pause.
    """

    target: str = ""
    requests: list[Request] = field(default_factory=list)
    cancelled: int = 0
    finished: int = 0
    pauses: int = 0
    _queued: deque[Sequence[Move]] = field(default_factory=deque)
    _always: Sequence[Move] = ()

    def answers(self, *moves: Move) -> None:
        """Answer the next call that has no answer yet."""
        self._queued.append(moves)

    def always(self, *moves: Move) -> None:
        """Answer every call for which nothing is queued."""
        self._always = moves

    async def until(self, *, cancelled: int = 0, requests: int = 0, finished: int = 0) -> None:
        await until(
            lambda: (
                self.cancelled >= cancelled
                and len(self.requests) >= requests
                and self.finished >= finished
            )
        )

    async def infer(self, request: rpc.InferRequest, context: Any) -> AsyncIterator[Any]:
        metadata = dict(context.invocation_metadata())
        left_s = context.time_remaining()
        self.requests.append(Request(request, metadata, context.peer(), left_s))
        moves = self._queued.popleft() if self._queued else self._always
        try:
            for move in moves:
                match move:
                    case Pause():
                        self.pauses += 1
                        await asyncio.Event().wait()
                    case Metadata(pairs):
                        await context.send_initial_metadata(pairs)
                    case Abort():
                        trailers = (("grpc-status-details-bin", _details(move)),)
                        await context.abort(move.code, move.text, trailers)
                    case _:
                        yield move
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1


def _details(abort: Abort) -> bytes:
    if isinstance(abort.details, bytes):
        return abort.details
    packed = []
    for detail in abort.details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    number = abort.code.value[0]
    return Status(code=number, message=abort.text, details=packed).SerializeToString()


@asynccontextmanager
async def grpc_upstream(
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[GrpcUpstream]:
    """Serve on a free port of the loopback interface; in the clear without credentials."""
    upstream = GrpcUpstream()
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        upstream.infer, rpc.InferRequest.FromString, _serialized
    )
    handlers = {"Infer": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    upstream.target = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield upstream
    finally:
        await server.stop(0)


def _serialized(move: rpc.InferResponse | bytes) -> bytes:
    return move if isinstance(move, bytes) else move.SerializeToString()


def message(*items: pb.InferenceItem) -> rpc.InferResponse:
    return rpc.InferResponse(items=items)


def started(response_id: str = "r1", upstream_model: str = "gpt") -> rpc.InferResponse:
    begun = pb.Started(upstream_model=upstream_model, response_id=response_id)
    return message(pb.InferenceItem(started=begun))


def text(*deltas: str) -> rpc.InferResponse:
    """One message with a delta for each text."""
    return message(*(pb.InferenceItem(text_delta=pb.TextDelta(text=each)) for each in deltas))


def delta(index: int, arguments: str, call_id: str = "", tool_id: str = "") -> pb.InferenceItem:
    return pb.InferenceItem(
        tool_call_delta=pb.ToolCallDelta(
            index=index, call_id=call_id, tool_id=tool_id, arguments_json=arguments
        )
    )


def ready(index: int, arguments: str, call_id: str = "", tool_id: str = "") -> pb.InferenceItem:
    call = content.ToolCall(call_id=call_id, tool_id=tool_id, arguments_json=arguments)
    return pb.InferenceItem(tool_call_ready=pb.ToolCallReady(index=index, call=call))


def counted(**tokens: Any) -> rpc.InferResponse:
    """Tokens that the provider counted, unless ``source`` says otherwise."""
    usage = content.Usage(**{"source": content.USAGE_SOURCE_PROVIDER, **tokens})
    return message(pb.InferenceItem(usage=usage))


def finish(reason: content.FinishReason = content.FINISH_REASON_STOP) -> rpc.InferResponse:
    return message(pb.InferenceItem(finished=pb.Finished(reason=reason)))


def reason(name: str, domain: str = "provider.runyard.dev") -> ErrorInfo:
    return ErrorInfo(reason=name, domain=domain)


def retry_info(seconds: int) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds))
