"""Messages of tool workers become values; every violation of a message is found at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from services.chassis.protobuf.decoder import Decoder, path
from services.runcontrol.api import enums
from services.runcontrol.core import worker_messages as m
from services.runcontrol.core.limits import (
    MAX_CREDIT,
    MAX_INFLIGHT,
    MAX_LABELS,
    MAX_SERVED_TOOLS,
    SCHEMA_DIGEST_BYTES,
)
from services.runcontrol.core.tool_workers import Progress
from services.runcontrol.core.worker_calls import (
    CallRef,
    Cancelled,
    Effect,
    Failed,
    Outcome,
    Succeeded,
    Worker,
)


def from_worker(request: service.SessionRequest) -> m.FromWorker:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    message = _message(request, decoder)
    decoder.check()
    return message


def result_from_pb(request: service.ReportResultRequest) -> m.Result:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    result = _result(request.result, "result", decoder)
    decoder.check()
    return result


def _message(request: service.SessionRequest, decoder: Decoder) -> m.FromWorker:
    arm = decoder.required_arm(request, "message", "")
    if not arm:
        return m.StopGiving()  # beside the violation
    return _READERS[arm](getattr(request, arm), decoder)


def _credit(credit: pb.Credit, decoder: Decoder) -> m.Credit:
    return m.Credit(decoder.number(credit.calls, "credit.calls", most=MAX_CREDIT))


def _hello(hello: pb.Hello, decoder: Decoder) -> m.Hello:
    decoder.not_empty(hello.tools, "hello.tools")
    return m.Hello(
        worker=Worker(
            decoder.id(hello.worker_id, "hello.worker_id"),
            decoder.id(hello.instance_id, "hello.instance_id"),
        ),
        oldest_protocol=hello.min_protocol,
        newest_protocol=hello.max_protocol,
        tools=tuple(
            decoder.each(
                hello.tools,
                "hello.tools",
                MAX_SERVED_TOOLS,
                lambda tool, at: _served(tool, at, decoder),
            )
        ),
        labels=tuple(
            decoder.each(
                hello.labels,
                "hello.labels",
                MAX_LABELS,
                decoder.id,
            )
        ),
        inflight=_refs(hello, decoder),
        undelivered=tuple(
            decoder.each(
                hello.undelivered_results,
                "hello.undelivered_results",
                MAX_INFLIGHT,
                lambda result, at: _result(result, at, decoder),
            )
        ),
    )


def _served(tool: pb.ServedTool, at: str, decoder: Decoder) -> m.ServedTool:
    if len(tool.schema_digest) not in (0, SCHEMA_DIGEST_BYTES):
        length = f"has {len(tool.schema_digest)} bytes, SHA-256 has {SCHEMA_DIGEST_BYTES}"
        decoder.wrong(path(at, "schema_digest"), length)
    tool_id = decoder.id(tool.tool_id, path(at, "tool_id"))
    return m.ServedTool(tool_id, tool.schema_digest.hex(), tool.max_parallel)


def _refs(hello: pb.Hello, decoder: Decoder) -> tuple[CallRef, ...]:
    return tuple(
        decoder.each(
            hello.inflight,
            "hello.inflight",
            MAX_INFLIGHT,
            lambda ref, at: _ref(ref, at, decoder),
        )
    )


def _progress(heartbeat: pb.Heartbeat, decoder: Decoder) -> tuple[Progress, ...]:
    return tuple(
        decoder.each(
            heartbeat.calls,
            "heartbeat.calls",
            MAX_INFLIGHT,
            lambda call, at: Progress(
                _ref(call.ref, path(at, "ref"), decoder),
                decoder.number(call.progress_seq, path(at, "progress_seq"), least=0),
                call.note,
            ),
        )
    )


def _ref(ref: pb.CallRef, at: str, decoder: Decoder) -> CallRef:
    return CallRef(
        decoder.id(ref.tool_call_id, path(at, "tool_call_id")),
        decoder.number(ref.attempt, path(at, "attempt"), least=1),
        decoder.number(ref.fence, path(at, "fence"), least=0),
    )


def _question(asked: pb.NeedInput, decoder: Decoder) -> m.NeedInput:
    decoder.not_empty(asked.question, "need_input.question")
    ref = _ref(asked.ref, "need_input.ref", decoder)
    return m.NeedInput(ref, asked.question, asked.sealed_state)


def _result(result: pb.Result, at: str, decoder: Decoder) -> m.Result:
    ref = _ref(result.ref, path(at, "ref"), decoder)
    return m.Result(ref, _outcome(result, at, decoder))


def _outcome(result: pb.Result, at: str, decoder: Decoder) -> Outcome:
    match decoder.required_arm(result, "outcome", at):
        case "failed":
            failed = result.failed
            return Failed(failed.code, failed.message, failed.retryable)
        case "cancelled":
            effect = result.cancelled.effect
            where = path(at, "cancelled.effect")
            return Cancelled(decoder.enum(enums.EFFECTS, effect, where, Effect.UNKNOWN))
        case _:
            return Succeeded(result.succeeded.content)


def _finding(found: pb.ProbeResult, decoder: Decoder) -> m.Finding:
    where = "probe_result.effect"
    return m.Finding(
        _ref(found.ref, "probe_result.ref", decoder),
        decoder.enum(enums.EFFECTS, found.effect, where, Effect.UNKNOWN),
        found.content,
    )


_READERS: Mapping[str, Callable[[Any, Decoder], m.FromWorker]] = {
    "hello": _hello,
    "credit": _credit,
    "accept": lambda accept, decoder: m.Accept(_ref(accept.ref, "accept.ref", decoder)),
    "heartbeat": lambda beat, decoder: m.Heartbeat(_progress(beat, decoder)),
    "result": lambda result, decoder: _result(result, "result", decoder),
    "probe_result": _finding,
    "need_input": _question,
    "handback": lambda given, decoder: m.Handback(_ref(given.ref, "handback.ref", decoder)),
    "drain": lambda drain, decoder: m.StopGiving(decoder.time(drain, "deadline_time", "drain")),
}
