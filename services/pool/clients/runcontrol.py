"""Run control, as the pool needs it: to be told how a wait ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import grpc
from opentelemetry import trace

from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1 import runcontrol_service_pb2 as rpc
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.outbox import OutboxRow, RefusedError
from services.chassis.rpc_status import ErrorFacts, reason_of
from services.chassis.telemetry import link_to
from services.chassis.telemetry_names import LINK_SUSPENDED_BY, LINK_TYPE, LINK_WAKE_CAUSE
from services.pool.core.cursors import cursor_of
from services.pool.core.events import Event, ResumePolicy, Wake, WakeDelivery, WakeState

DELIVERY_TIMEOUT_S = 10.0

_STATUS: Mapping[WakeState, run.WakeStatus] = {
    WakeState.TRIGGERED: run.WAKE_STATUS_TRIGGERED,
    WakeState.TIMED_OUT: run.WAKE_STATUS_TIMED_OUT,
    WakeState.CANCELLED: run.WAKE_STATUS_CANCELLED,
    WakeState.FAILED: run.WAKE_STATUS_FAILED,
}
# A repeat of these cannot end otherwise; anything else can.
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
_OUTCOME: Mapping[int, WakeDelivery] = {
    rpc.WAKE_OUTCOME_ACCEPTED: WakeDelivery.ACCEPTED,
    rpc.WAKE_OUTCOME_DUPLICATE: WakeDelivery.ACCEPTED,
    rpc.WAKE_OUTCOME_DROPPED: WakeDelivery.ACCEPTED,
    rpc.WAKE_OUTCOME_RUN_FINISHED: WakeDelivery.RUN_FINISHED,
}


class RunControlUnavailableError(DomainError):
    """Run control did not take a wake; it is delivered again. Never leaves the process."""

    kind = ErrorKind.UNAVAILABLE
    reason = "INTERNAL"
    retry = Retry.RETRYABLE


def encode_wake(pool_id: str, wake: Wake, message_ids: Sequence[str]) -> bytes:
    """The command that tells run control how ``wake`` ended, as its resume policy wants it."""
    resume = wake.condition.resume_with
    refs = resume is ResumePolicy.MATCHING_EVENT_REFS
    summary = resume is ResumePolicy.REDACTED_SUMMARY
    request = rpc.DeliverWakeRequest(
        pool_id=pool_id,
        condition_id=wake.condition.condition_id,
        run_id=wake.condition.run_id,
        status=_STATUS[wake.state],
        events=[_event_to_pb(event) for event in wake.matched] if refs else [],
        message_ids=message_ids if refs else [],
        summary=_summary(wake) if summary else "",
        cause_traceparent=wake.cause_traceparent,
        suspension_traceparent=wake.suspend_traceparent,
        cursor=cursor_of(pool_id, wake.seen_sequence),
    )
    return request.SerializeToString(deterministic=True)


def _event_to_pb(event: Event) -> run.WakeEvent:
    return run.WakeEvent(
        event_id=event.event_id,
        sequence=event.sequence,
        kind=event.kind.value,
        message_id=event.message_id,
        from_run_id=event.sender_run_id,
        traceparent=event.traceparent,
    )


def _summary(wake: Wake) -> str:
    """Kinds and counts; no ids, no content."""
    if wake.state is not WakeState.TRIGGERED:
        return f"wake {wake.state.value.replace('_', ' ')}"
    kinds = sorted({event.kind.value.replace(".", " ").replace("_", " ") for event in wake.matched})
    return f"{len(wake.matched)} event(s): {', '.join(kinds)}"


def condition_of(row: OutboxRow) -> tuple[str, str]:
    """The pool and the condition that a row is about."""
    request = rpc.DeliverWakeRequest.FromString(row.payload)
    return request.pool_id, request.condition_id


def outcome_of(body: bytes) -> WakeDelivery:
    """What run control answered; an outcome newer than this release counts as accepted."""
    return _OUTCOME.get(rpc.DeliverWakeResponse.FromString(body).outcome, WakeDelivery.ACCEPTED)


class RunControlClient:
    """Delivers rows of the outbox; run control deduplicates on pool and condition.

    Args:
        tenant_of: Whose wake a row is.
    """

    def __init__(self, channel: grpc.aio.Channel, tenant_of: Callable[[OutboxRow], str]) -> None:
        self._stub = RunControlServiceStub(channel)
        self._tenant_of = tenant_of

    async def deliver_wake(self, row: OutboxRow) -> bytes:
        """Raises:
        RefusedError: Run control will never take it: it does not know the run.
        RunControlUnavailableError: It may, later.
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
    # Without a reason it was not run control that spoke, but something on the way.
    if facts.code in _FINAL and facts.reason:
        return RefusedError(facts.reason, facts.message)
    reason = facts.reason or facts.code.name
    return RunControlUnavailableError(
        f"run control did not take the wake: {reason}",
        retry_after_s=facts.retry_after_s,
        cause=reason,
    )
