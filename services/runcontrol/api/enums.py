"""Tables between the enums of the contract and those of the core."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.worker.v1 import worker_pb2 as worker
from services.chassis.protobuf.enums import EnumTable
from services.runcontrol.core.cancelling import CancelOutcome
from services.runcontrol.core.events import ProbeOutcome
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState, WakeStatus
from services.runcontrol.core.model import (
    DispatchKind,
    DispatchState,
    InputDisposition,
    InputMode,
    InputState,
    MessageOrigin,
    Priority,
    RunState,
    TerminationReason,
    WaitingKind,
)
from services.runcontrol.core.submission import BusyPolicy
from services.runcontrol.core.subscribing import SubscribeFrom
from services.runcontrol.core.tickets import DecisionOutcome
from services.runcontrol.core.waking import WakeOutcome
from services.runcontrol.core.worker_calls import Effect, ResultOutcome
from services.runcontrol.core.worker_messages import Verdict

BUSY_POLICIES = EnumTable(service.BusyPolicy, "BUSY_POLICY", BusyPolicy)
CALL_STATES = EnumTable(pb.ToolInvocation.State, "STATE", CallState)
CANCEL_OUTCOMES = EnumTable(service.CancelOutcome, "CANCEL_OUTCOME", CancelOutcome)
DISPATCH_KINDS = EnumTable(pb.Dispatch.Kind, "KIND", DispatchKind)
DISPATCH_STATES = EnumTable(pb.Dispatch.State, "STATE", DispatchState)
DECISION_OUTCOMES = EnumTable(service.DecisionOutcome, "DECISION_OUTCOME", DecisionOutcome)
INPUT_DISPOSITIONS = EnumTable(pb.InputDisposition, "INPUT_DISPOSITION", InputDisposition)
INPUT_MODES = EnumTable(pb.InjectMode, "INJECT_MODE", InputMode)
INPUT_STATES = EnumTable(pb.Input.State, "STATE", InputState)
ORIGINS = EnumTable(pb.MessageOrigin, "MESSAGE_ORIGIN", MessageOrigin)
PRIORITIES = EnumTable(pb.Priority, "PRIORITY", Priority)
PROBE_OUTCOMES = EnumTable(pb.ToolCallProbed.Outcome, "OUTCOME", ProbeOutcome)
RUN_STATES = EnumTable(pb.Run.State, "STATE", RunState)
STARTS = EnumTable(service.SubscribeFrom, "SUBSCRIBE_FROM", SubscribeFrom)
TERMINATIONS = EnumTable(pb.TerminationReason, "TERMINATION_REASON", TerminationReason)
TICKET_KINDS = EnumTable(pb.Ticket.Kind, "KIND", TicketKind)
TICKET_STATES = EnumTable(pb.Ticket.State, "STATE", TicketState)
WAITING_KINDS = EnumTable(pb.WaitingKind, "WAITING_KIND", WaitingKind)
WAKE_OUTCOMES = EnumTable(internal.WakeOutcome, "WAKE_OUTCOME", WakeOutcome)
EFFECTS = EnumTable(worker.Effect, "EFFECT", Effect)
RESULT_OUTCOMES = EnumTable(worker.ResultAck.Outcome, "OUTCOME", ResultOutcome)
VERDICT_ACTIONS = EnumTable(worker.InflightVerdict.Action, "ACTION", Verdict)
WAKE_STATUSES = EnumTable(pb.WakeStatus, "WAKE_STATUS", WakeStatus)
