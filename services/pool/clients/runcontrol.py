"""The client of run control: delivers ended wakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc
from opentelemetry import trace

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as rpc
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1.runcontrol_internal_service_pb2_grpc import (
    RunControlInternalServiceStub,
)
from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.observe.names import LINK_SUSPENDED_BY, LINK_TYPE, LINK_WAKE_CAUSE
from services.chassis.observe.telemetry import link_to
from services.chassis.outbox.rows import OutboxRow
from services.chassis.outbox.sender import RefusedError
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.enums import EnumTable, ReadTable
from services.pool.core.events import Event, ResumePolicy, Wake, WakeDelivery, WakeState

DELIVERY_TIMEOUT_S = 10.0

_CURSORS = Cursors("pool")
_STATUSES = EnumTable(run.WakeStatus, "WAKE_STATUS", WakeState, without=("REGISTERED",))
# A repeat of a call that ended with one of these ends the same.
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
_OUTCOMES = ReadTable(
    rpc.WakeOutcome,
    "WAKE_OUTCOME",
    {
        "ACCEPTED": WakeDelivery.ACCEPTED,
        "DUPLICATE": WakeDelivery.ACCEPTED,
        "DROPPED": WakeDelivery.ACCEPTED,
        "RUN_FINISHED": WakeDelivery.RUN_FINISHED,
    },
)


class RunControlUnavailableError(DomainError):
    """Run control did not take a wake; it is delivered again. Never leaves the process."""

    kind = ErrorKind.UNAVAILABLE
    reason = "INTERNAL"
    retry = Retry.RETRYABLE


def encode_wake(pool_id: str, wake: Wake, message_ids: Sequence[str]) -> bytes:
    """The request that delivers an ended wake, serialised, with what its resume policy allows."""
    resume = wake.condition.resume_with
    refs = resume is ResumePolicy.MATCHING_EVENT_REFS
    summary = resume is ResumePolicy.REDACTED_SUMMARY
    request = rpc.DeliverWakeRequest(
        pool_id=pool_id,
        condition_id=wake.condition.condition_id,
        run_id=wake.condition.run_id,
        status=_STATUSES.to_pb[wake.state],
        events=[_event_to_pb(event) for event in wake.matched] if refs else [],
        message_ids=message_ids if refs else [],
        summary=_summary(wake) if summary else "",
        cause_traceparent=wake.cause_traceparent,
        suspension_traceparent=wake.suspend_traceparent,
        cursor=_CURSORS.encode(pool_id, wake.seen_sequence),
    )
    return request.SerializeToString(deterministic=True)


def _event_to_pb(event: Event) -> run.WakeEvent:
    return run.WakeEvent(
        event_id=event.event_id,
        sequence=event.sequence,
        kind=event.kind.value,
        message_id=event.message_id,
        from_run_id=event.sender_run_id,
        from_agent_id=event.sender_agent_id,
        traceparent=event.traceparent,
    )


def _summary(wake: Wake) -> str:
    """The kinds of the matched events and their count, without ids or content."""
    if wake.state is not WakeState.TRIGGERED:
        return f"wake {wake.state.value.replace('_', ' ')}"
    kinds = sorted({event.kind.value.replace(".", " ").replace("_", " ") for event in wake.matched})
    return f"{len(wake.matched)} event(s): {', '.join(kinds)}"


def condition_of(row: OutboxRow) -> tuple[str, str]:
    """The pool id and the condition id of an outbox row."""
    request = rpc.DeliverWakeRequest.FromString(row.payload)
    return request.pool_id, request.condition_id


def outcome_of(body: bytes) -> WakeDelivery:
    """The outcome in the answer of run control; an unknown one counts as accepted."""
    outcome = rpc.DeliverWakeResponse.FromString(body).outcome
    return _OUTCOMES.from_pb.get(outcome, WakeDelivery.ACCEPTED)


class RunControlClient:
    """Delivers rows of the outbox; run control deduplicates on pool and condition.

    Args:
        tenant_of: Returns the tenant of a row.
    """

    def __init__(self, channel: grpc.aio.Channel, tenant_of: Callable[[OutboxRow], str]) -> None:
        self._stub = RunControlInternalServiceStub(channel)
        self._tenant_of = tenant_of

    async def deliver_wake(self, row: OutboxRow) -> bytes:
        """Raises:
        RefusedError: Run control refused it for good, for example an unknown run.
        RunControlUnavailableError: A later attempt may succeed.
        """
        request = rpc.DeliverWakeRequest.FromString(row.payload)
        _link(request.cause_traceparent, LINK_WAKE_CAUSE)
        _link(request.suspension_traceparent, LINK_SUSPENDED_BY)
        try:
            with acting_for(OnBehalfOf(self._tenant_of(row), run=request.run_id)):
                answer = await self._stub.DeliverWake(request, timeout=DELIVERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _failure(reason_of(error)) from error
        return answer.SerializeToString()


def _link(traceparent: str, kind: str) -> None:
    link = link_to(traceparent, **{LINK_TYPE: kind})
    if link is not None:
        trace.get_current_span().add_link(link.context, link.attributes)


def _failure(facts: ErrorFacts) -> Exception:
    # A status without a reason does not come from run control but, for example, from a proxy.
    if facts.code in _FINAL and facts.reason:
        return RefusedError(facts.reason, facts.message)
    reason = facts.reason or facts.code.name
    return RunControlUnavailableError(
        f"run control did not take the wake: {reason}",
        retry_after_s=facts.retry_after_s,
        cause=reason,
    )
