"""The enums of the contract and of the core, total in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.runcontrol.core.cancelling import CancelOutcome
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, WakeStatus
from services.runcontrol.core.model import (
    InputState,
    MessageOrigin,
    Priority,
    RunState,
    TerminationReason,
    WaitingKind,
)
from services.runcontrol.core.submission import BusyPolicy
from services.runcontrol.core.tickets import DecisionOutcome
from services.runcontrol.core.waking import WakeOutcome

RUN_STATE_TO_PB: Mapping[RunState, pb.Run.State] = {
    RunState.QUEUED: pb.Run.STATE_QUEUED,
    RunState.RUNNING: pb.Run.STATE_RUNNING,
    RunState.WAITING: pb.Run.STATE_WAITING,
    RunState.CANCELLING: pb.Run.STATE_CANCELLING,
    RunState.DONE: pb.Run.STATE_DONE,
}
TERMINATION_TO_PB: Mapping[TerminationReason, pb.TerminationReason] = {
    TerminationReason.NATURAL_END: pb.TERMINATION_REASON_NATURAL_END,
    TerminationReason.MAX_ROUNDS: pb.TERMINATION_REASON_MAX_ROUNDS,
    TerminationReason.TOKEN_BUDGET: pb.TERMINATION_REASON_TOKEN_BUDGET,
    TerminationReason.CANCELLED: pb.TERMINATION_REASON_CANCELLED,
    TerminationReason.SUPERSEDED: pb.TERMINATION_REASON_SUPERSEDED,
    TerminationReason.DEADLINE: pb.TERMINATION_REASON_DEADLINE,
    TerminationReason.ERROR: pb.TERMINATION_REASON_ERROR,
    TerminationReason.DEAD_LETTER: pb.TERMINATION_REASON_DEAD_LETTER,
}
WAITING_KIND_TO_PB: Mapping[WaitingKind, pb.WaitingKind] = {
    WaitingKind.APPROVAL: pb.WAITING_KIND_APPROVAL,
    WaitingKind.USER_INPUT: pb.WAITING_KIND_USER_INPUT,
    WaitingKind.TOOL: pb.WAITING_KIND_TOOL,
    WaitingKind.WAKE: pb.WAITING_KIND_WAKE,
    WaitingKind.RECONCILE: pb.WAITING_KIND_RECONCILE,
    WaitingKind.BACKOFF: pb.WAITING_KIND_BACKOFF,
}
CALL_STATE_TO_PB: Mapping[CallState, pb.ToolInvocation.State] = {
    CallState.PLANNED: pb.ToolInvocation.STATE_PLANNED,
    CallState.GATED: pb.ToolInvocation.STATE_GATED,
    CallState.READY: pb.ToolInvocation.STATE_READY,
    CallState.DISPATCHED: pb.ToolInvocation.STATE_DISPATCHED,
    CallState.ACCEPTED: pb.ToolInvocation.STATE_ACCEPTED,
    CallState.SUSPENDED: pb.ToolInvocation.STATE_SUSPENDED,
    CallState.SUCCEEDED: pb.ToolInvocation.STATE_SUCCEEDED,
    CallState.FAILED: pb.ToolInvocation.STATE_FAILED,
    CallState.CANCELLED: pb.ToolInvocation.STATE_CANCELLED,
    CallState.UNKNOWN: pb.ToolInvocation.STATE_UNKNOWN,
}
TICKET_STATE_TO_PB: Mapping[TicketState, pb.Ticket.State] = {
    TicketState.OPEN: pb.Ticket.STATE_OPEN,
    TicketState.DECIDED: pb.Ticket.STATE_DECIDED,
    TicketState.CONSUMED: pb.Ticket.STATE_CONSUMED,
    TicketState.EXPIRED: pb.Ticket.STATE_EXPIRED,
    TicketState.VOID: pb.Ticket.STATE_VOID,
}
TICKET_STATE_FROM_PB: Mapping[int, TicketState] = {v: k for k, v in TICKET_STATE_TO_PB.items()}
TICKET_KIND_TO_PB: Mapping[TicketKind, pb.Ticket.Kind] = {
    TicketKind.APPROVAL: pb.Ticket.KIND_APPROVAL,
    TicketKind.RECONCILE: pb.Ticket.KIND_RECONCILE,
    TicketKind.QUESTION: pb.Ticket.KIND_QUESTION,
}
INPUT_STATE_TO_PB: Mapping[InputState, pb.Input.State] = {
    InputState.PENDING: pb.Input.STATE_PENDING,
    InputState.CONSUMED: pb.Input.STATE_CONSUMED,
    InputState.RETRACTED: pb.Input.STATE_RETRACTED,
    InputState.DROPPED: pb.Input.STATE_DROPPED,
}
ORIGIN_TO_PB: Mapping[MessageOrigin, pb.MessageOrigin] = {
    MessageOrigin.INPUT: pb.MESSAGE_ORIGIN_INPUT,
    MessageOrigin.MODEL: pb.MESSAGE_ORIGIN_MODEL,
    MessageOrigin.TOOL: pb.MESSAGE_ORIGIN_TOOL,
    MessageOrigin.POOL: pb.MESSAGE_ORIGIN_POOL,
}
PRIORITY_FROM_PB: Mapping[int, Priority] = {
    pb.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    pb.PRIORITY_HIGH: Priority.HIGH,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_LOW: Priority.LOW,
}
PRIORITY_TO_PB: Mapping[Priority, pb.Priority] = {
    Priority.HIGH: pb.PRIORITY_HIGH,
    Priority.NORMAL: pb.PRIORITY_NORMAL,
    Priority.LOW: pb.PRIORITY_LOW,
}
WAKE_STATUS_TO_PB: Mapping[WakeStatus, pb.WakeStatus] = {
    WakeStatus.TRIGGERED: pb.WAKE_STATUS_TRIGGERED,
    WakeStatus.TIMED_OUT: pb.WAKE_STATUS_TIMED_OUT,
    WakeStatus.CANCELLED: pb.WAKE_STATUS_CANCELLED,
    WakeStatus.FAILED: pb.WAKE_STATUS_FAILED,
}
WAKE_STATUS_FROM_PB: Mapping[int, WakeStatus] = {v: k for k, v in WAKE_STATUS_TO_PB.items()}
BUSY_POLICY_FROM_PB: Mapping[int, BusyPolicy] = {
    service.BUSY_POLICY_UNSPECIFIED: BusyPolicy.ENQUEUE,
    service.BUSY_POLICY_ENQUEUE: BusyPolicy.ENQUEUE,
    service.BUSY_POLICY_REJECT: BusyPolicy.REJECT,
    service.BUSY_POLICY_INTERRUPT: BusyPolicy.INTERRUPT,
}
CANCEL_OUTCOME_TO_PB: Mapping[CancelOutcome, service.CancelOutcome] = {
    CancelOutcome.CANCELLED: service.CANCEL_OUTCOME_CANCELLED,
    CancelOutcome.CANCELLING: service.CANCEL_OUTCOME_CANCELLING,
    CancelOutcome.ALREADY_DONE: service.CANCEL_OUTCOME_ALREADY_DONE,
    CancelOutcome.NOTHING_ACTIVE: service.CANCEL_OUTCOME_NOTHING_ACTIVE,
}
DECISION_OUTCOME_TO_PB: Mapping[DecisionOutcome, service.DecisionOutcome] = {
    DecisionOutcome.ACCEPTED: service.DECISION_OUTCOME_ACCEPTED,
    DecisionOutcome.DUPLICATE: service.DECISION_OUTCOME_DUPLICATE,
    DecisionOutcome.CONFLICT: service.DECISION_OUTCOME_CONFLICT,
    DecisionOutcome.STALE: service.DECISION_OUTCOME_STALE,
}
WAKE_OUTCOME_TO_PB: Mapping[WakeOutcome, service.WakeOutcome] = {
    WakeOutcome.ACCEPTED: service.WAKE_OUTCOME_ACCEPTED,
    WakeOutcome.DUPLICATE: service.WAKE_OUTCOME_DUPLICATE,
    WakeOutcome.DROPPED: service.WAKE_OUTCOME_DROPPED,
    WakeOutcome.RUN_FINISHED: service.WAKE_OUTCOME_RUN_FINISHED,
}
