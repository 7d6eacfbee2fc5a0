"""The events of a run; each is committed with the change that it records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.content.model import Usage
from services.runcontrol.core.exchange import Call, CallState, Decision, Ticket, WakeStatus
from services.runcontrol.core.model import StoredMessage, Termination, WaitingReason


@dataclass(frozen=True, slots=True)
class RunQueued:
    dispatch_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    attempt: int


@dataclass(frozen=True, slots=True)
class RunResumed:
    attempt: int
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunCancelling:
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of every run."""

    termination: Termination
    usage: Usage
    output_text: str
    unknown_call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    pass


@dataclass(frozen=True, slots=True)
class StepEnded:
    pass


@dataclass(frozen=True, slots=True)
class StepReset:
    """The step runs again: its deltas from ``from_run_seq`` up to this event do not count."""

    from_run_seq: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class MessageCommitted:
    """A message was appended to the thread; it repeats the deltas of the covered range, if any."""

    message: StoredMessage
    covers_from_run_seq: int = 0
    covers_to_run_seq: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallPlanned:
    call: Call


@dataclass(frozen=True, slots=True)
class ToolCallGated:
    call_id: str
    ticket_id: str


@dataclass(frozen=True, slots=True)
class ToolCallDispatched:
    call_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ToolCallAccepted:
    call_id: str
    worker_id: str


class ProbeOutcome(Enum):
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    UNKNOWN = "unknown"
    NOT_ANSWERED = "not_answered"


@dataclass(frozen=True, slots=True)
class ToolCallProbed:
    call_id: str
    outcome: ProbeOutcome


@dataclass(frozen=True, slots=True)
class ToolCallWithheld:
    call_id: str
    worker_id: str
    tool_version: str


@dataclass(frozen=True, slots=True)
class ToolCallProgress:
    call_id: str
    progress_seq: int
    note: str


@dataclass(frozen=True, slots=True)
class ToolCallSettled:
    call_id: str
    state: CallState
    result: str


@dataclass(frozen=True, slots=True)
class TicketOpened:
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class TicketDecided:
    ticket_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class TicketExpired:
    ticket_id: str


@dataclass(frozen=True, slots=True)
class TicketVoided:
    ticket_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class InputQueued:
    input_id: str


@dataclass(frozen=True, slots=True)
class InputConsumed:
    input_id: str


@dataclass(frozen=True, slots=True)
class InputEdited:
    input_id: str
    revision: int
    edited_by: str


@dataclass(frozen=True, slots=True)
class InputRetracted:
    input_id: str
    retracted_by: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    retry_class: str
    reason: str
    message: str
    will_retry: bool
    retry_at: datetime | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Routed:
    """The router's choice for a model call.

    Attributes:
        switched_from: "" unless it is not the home.
        sticky, failure, skip_reason: As the router names them, in lower case; "" for none.
    """

    target_id: str
    model_id: str
    provider_id: str
    switched_from: str
    attempts: int
    sticky: str = ""
    failure: str = ""
    skip_reason: str = ""


@dataclass(frozen=True, slots=True)
class RunParked:
    reasons: tuple[WaitingReason, ...]


@dataclass(frozen=True, slots=True)
class RunWoken:
    """A wait has ended; ``wake_status`` is set for a wait on a pool only."""

    cause: str
    call_id: str
    wake_status: WakeStatus | None = None
    cause_traceparent: str = ""


@dataclass(frozen=True, slots=True)
class UsageReported:
    usage: Usage


Kind = (
    RunQueued
    | RunStarted
    | RunResumed
    | RunCancelling
    | RunFinished
    | StepStarted
    | StepEnded
    | StepReset
    | TextDelta
    | ReasoningDelta
    | MessageCommitted
    | ToolCallPlanned
    | ToolCallGated
    | ToolCallDispatched
    | ToolCallAccepted
    | ToolCallProgress
    | ToolCallProbed
    | ToolCallWithheld
    | ToolCallSettled
    | TicketOpened
    | TicketDecided
    | TicketExpired
    | TicketVoided
    | InputQueued
    | InputConsumed
    | InputEdited
    | InputRetracted
    | AttemptFailed
    | Routed
    | RunParked
    | RunWoken
    | UsageReported
)


# The kinds that are deleted once a later event of their run repeats them or makes them void.
DELTAS = (TextDelta, ReasoningDelta)
COVERING = (MessageCommitted, StepReset)


@dataclass(frozen=True, slots=True)
class Event:
    """An event with its sequence in the run and in the thread.

    Both begin at 1 and have no gaps but those of deltas that a later event covers.
    """

    run_seq: int
    thread_seq: int
    run_id: str
    thread_id: str
    at: datetime
    step: int
    kind: Kind

    @property
    def covers(self) -> tuple[int, int] | None:
        """Run sequences of the first and the last event whose deltas nobody needs after this one.

        A message repeats its deltas; a reset makes those of the step void.
        """
        match self.kind:
            case MessageCommitted(_, first, last) if first:
                return first, last
            case StepReset(first) if first < self.run_seq:
                return first, self.run_seq - 1
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Covered:
    """A range of a run's events whose deltas are to be deleted; it ends before what covers it."""

    tenant: str
    run_id: str
    last_run_seq: int
    first_run_seq: int
    covered_at: datetime
