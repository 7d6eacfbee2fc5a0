"""What run control says to a tool worker, as messages."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from google.protobuf.duration_pb2 import Duration

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.decoder import duration_to_pb, instant_to_pb
from services.content.convert import EFFECT_CLASSES
from services.runcontrol.api import enums
from services.runcontrol.core import worker_messages as m
from services.runcontrol.core.exchange import Call
from services.runcontrol.core.schemas import schema_digest
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tool_workers import TakenCall
from services.runcontrol.core.worker_calls import (
    CallRef,
    ResultOutcome,
)

# What a worker has to wind up a call that is not wanted any more.
STOP_GRACE_S = 5.0


def to_worker(message: m.ToWorker) -> service.SessionResponse:
    match message:
        case m.Welcome():
            return service.SessionResponse(welcome=_welcome(message))
        case m.SchemaMismatch(tool):
            return service.SessionResponse(schema_mismatch=_mismatch(tool))
        case m.ServerStops(deadline_at):
            drain = pb.Drain(deadline_time=instant_to_pb(deadline_at))
            return service.SessionResponse(drain=drain)
        case _:
            return _of_call(message)


def _of_call(
    message: m.GivenCall | m.Go | m.Leases | m.StopCall | m.Probe | m.ResultAck,
) -> service.SessionResponse:
    match message:
        case m.GivenCall():
            return service.SessionResponse(call=_call(message.taken))
        case m.Go(ref):
            return service.SessionResponse(go=pb.Go(ref=_ref(ref)))
        case m.Leases(calls):
            leases = [
                pb.CallLease(ref=_ref(ref), until_time=instant_to_pb(until)) for ref, until in calls
            ]
            return service.SessionResponse(lease=pb.Lease(calls=leases))
        case m.StopCall(ref, reason):
            stop = pb.Cancel(ref=_ref(ref), reason=reason, grace=_seconds(STOP_GRACE_S))
            return service.SessionResponse(cancel=stop)
        case m.Probe(taken):
            return service.SessionResponse(probe=_probe(taken))
        case m.ResultAck(ref, outcome):
            return service.SessionResponse(result_ack=ack_to_pb(ref, outcome))
        case _:
            assert_never(message)


def reported(ref: CallRef) -> MutationResponse[ResultOutcome, service.ReportResultResponse]:
    """How the answer to a report of this attempt is made."""
    return MutationResponse(
        service.ReportResultResponse,
        lambda outcome: service.ReportResultResponse(ack=ack_to_pb(ref, outcome)),
    )


def ack_to_pb(ref: CallRef, outcome: ResultOutcome) -> pb.ResultAck:
    return pb.ResultAck(ref=_ref(ref), outcome=enums.RESULT_OUTCOMES.to_pb[outcome])


def _welcome(welcome: m.Welcome) -> pb.Welcome:
    return pb.Welcome(
        session_id=welcome.session_id,
        session_epoch=welcome.session_epoch,
        protocol=m.PROTOCOL,
        heartbeat_interval=_seconds(welcome.times.heartbeat_s),
        lease=_seconds(welcome.times.lease_s),
        accept_timeout=_seconds(welcome.times.accept_s),
        verdicts=[
            pb.InflightVerdict(call=_ref(ref), action=enums.VERDICT_ACTIONS.to_pb[verdict])
            for ref, verdict in welcome.verdicts
        ],
    )


def _call(taken: TakenCall) -> pb.Call:
    call = taken.call
    return pb.Call(
        ref=_ref(taken.ref),
        run_id=call.run_id,
        thread_id=taken.thread_id,
        tool_id=call.tool_id,
        arguments_json=call.arguments_json or "{}",
        argument_digest=call.digest,
        idempotency_key=call.call_id,
        effect_class=EFFECT_CLASSES.to_pb[call.effect_class],
        deadline_time=instant_to_pb(call.timeout_at),
        traceparent=call.traceparent,
        tool_version=taken.tool_version,
        agent_id=taken.agent_id,
        principal=taken.principal,
        resume=_resume(call),
    )


def _mismatch(tool: ToolSpec) -> pb.SchemaMismatch:
    return pb.SchemaMismatch(
        tool_id=tool.tool_id,
        tool_version=tool.version,
        schema_digest=bytes.fromhex(schema_digest(tool.json_schema)),
        json_schema=tool.json_schema,
    )


def _probe(taken: TakenCall) -> pb.Probe:
    call = taken.call
    return pb.Probe(
        ref=_ref(taken.ref),
        idempotency_key=call.call_id,
        tool_id=call.tool_id,
        arguments_json=call.arguments_json or "{}",
        run_id=call.run_id,
        thread_id=taken.thread_id,
        agent_id=taken.agent_id,
        principal=taken.principal,
        traceparent=call.traceparent,
        tool_version=taken.tool_version,
    )


def _resume(call: Call) -> pb.Resume | None:
    if not call.answer_json:
        return None
    return pb.Resume(sealed_state=call.sealed_state or b"", answer_json=call.answer_json)


def _ref(ref: CallRef) -> pb.CallRef:
    return pb.CallRef(tool_call_id=ref.call_id, attempt=ref.attempt, fence=ref.fence)


def _seconds(seconds: float) -> Duration | None:
    return duration_to_pb(timedelta(seconds=seconds))
