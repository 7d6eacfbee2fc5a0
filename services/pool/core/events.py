"""Values: events, wake conditions and wakes, timers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from services.pool.core.model import Correlation, Policies


class EventKind(Enum):
    POOL_OPENED = "pool.opened"
    POOL_CREATED = "pool.created"
    MEMBER_JOINED = "member.joined"
    MEMBER_UPDATED = "member.updated"
    MESSAGE_ACCEPTED = "message.accepted"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_RESPONDED = "message.responded"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_TIMED_OUT = "message.timed_out"
    MESSAGE_EXPIRED = "message.expired"
    WAKE_REGISTERED = "wake.registered"
    WAKE_TRIGGERED = "wake.triggered"
    WAKE_TIMED_OUT = "wake.timed_out"
    WAKE_CANCELLED = "wake.cancelled"
    WAKE_FAILED = "wake.failed"

    @property
    def family(self) -> str:
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Event:
    """A record of the log without what it led to; it carries ids and labels, never content.

    Attributes:
        sequence: 0 until it is recorded.
        observable: Whether it can match a wake: its run held every policy of the pool.
    """

    kind: EventKind
    sequence: int = 0
    sender_run_id: str = ""
    sender_agent_id: str = ""
    message_id: str = ""
    reply_to: str = ""
    reply_message_id: str = ""
    topic: str = ""
    to_agent_id: str = ""
    recipient_run_ids: tuple[str, ...] = ()
    correlation: tuple[Correlation, ...] = ()
    condition_id: str = ""
    content_ref: str = ""
    policy_refs: Policies = ()
    terminal: bool = False
    observable: bool = True
    event_time: datetime | None = None
    traceparent: str = ""

    @property
    def event_id(self) -> str:
        return f"event.{self.sequence}"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events match: those that satisfy every set field. Every tuple is sorted and unique."""

    kinds: tuple[str, ...] = ()
    recipient_run_ids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    sender_run_ids: tuple[str, ...] = ()
    sender_agent_ids: tuple[str, ...] = ()
    correlation: tuple[Correlation, ...] = ()
    correlation_keys: tuple[str, ...] = ()
    terminal_only: bool = False


class ResumePolicy(Enum):
    MATCHING_EVENT_REFS = "matching_event_refs"
    REDACTED_SUMMARY = "redacted_summary"
    NONE = "none"


class Start(Enum):
    EARLIEST = "earliest"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class WakeCondition:
    """What a run waits for.

    Attributes:
        match_from: A start, or the sequence after which events count.
        timeout: None waits for ever; zero times out at once, even if recorded events match.
    """

    condition_id: str
    run_id: str
    filters: tuple[EventFilter, ...]
    idempotency_key: str
    after_matches: int = 1
    timeout: timedelta | None = None
    match_from: Start | int = Start.EARLIEST
    resume_with: ResumePolicy = ResumePolicy.MATCHING_EVENT_REFS
    policy_refs: Policies = ()


class WakeState(Enum):
    REGISTERED = "registered"
    TRIGGERED = "triggered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


class WakeDelivery(Enum):
    """How far the delivery of an ended wake to run control has come."""

    NONE = "none"
    QUEUED = "queued"
    ACCEPTED = "accepted"
    RUN_FINISHED = "run_finished"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Wake:
    """A registered condition and its state.

    Attributes:
        matched: Events that matched so far, in order; of their recipients only the waiting run.
        seen_sequence: The registration or, if it is later, the newest match.
        deadline: When it times out; None never.
    """

    condition: WakeCondition
    register_time: datetime
    registered_sequence: int
    state: WakeState = WakeState.REGISTERED
    matched: tuple[Event, ...] = ()
    ended_sequence: int = 0
    seen_sequence: int = 0
    deadline: datetime | None = None
    end_time: datetime | None = None
    end_reason: str = ""
    suspend_traceparent: str = ""
    cause_traceparent: str = ""
    delivery: WakeDelivery = WakeDelivery.NONE
    digest: bytes = field(default=b"", repr=False)


class TimerKind(Enum):
    WAKE = "wake"
    RESPONSE = "response"
    EXPIRY = "expiry"


@dataclass(frozen=True, slots=True)
class Timer:
    """An action that is due; ``subject_id`` is a condition id for wakes, else a message id."""

    kind: TimerKind
    subject_id: str
    due_time: datetime


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer with its tenant and pool."""

    tenant: str
    pool_id: str
    timer: Timer
