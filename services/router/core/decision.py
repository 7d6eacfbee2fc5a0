"""The record of how a call was routed, for the caller and for traces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.content.model import Usage
from services.router.core.failures import Failure, FailureClass


class AttemptKind(Enum):
    INITIAL = "initial"
    RETRY = "retry"
    FAILOVER = "failover"


class AttemptOutcome(Enum):
    STREAMING = "streaming"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class SkipReason(Enum):
    QUOTA_DEADLINE = "quota_deadline"
    CIRCUIT_OPEN = "circuit_open"
    QUARANTINED = "quarantined"
    INCAPABLE = "incapable"
    LIMIT_REACHED = "limit_reached"
    CORDONED = "cordoned"


class Sticky(Enum):
    """How the session's earlier calls affected the choice of the member."""

    HOME = "home"
    PINNED = "pinned"
    MOVED = "moved"
    RETURNED = "returned"
    ANONYMOUS = "anonymous"
    THIS_CALL_ONLY = "this_call_only"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a provider.

    Attributes:
        number: From 1 in its call.
        failure: None while nothing went wrong.
        elapsed_s: From sending the request to its end; while streaming, to its commit point.
        usage: Once it has ended, if known.
        probe: Of an open circuit or of a quarantine.
    """

    id: str
    number: int
    member_id: str
    provider_id: str
    upstream_model: str
    kind: AttemptKind
    outcome: AttemptOutcome
    failure: Failure | None = None
    elapsed_s: float = 0.0
    usage: Usage | None = None
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member that was not called.

    Attributes:
        until: When the member may be called again; None when unknown.
        detail: For INCAPABLE, what is missing; for QUARANTINED, the failure.
        moves: Its sessions go to another member; False when the pool's policy keeps them on it.
    """

    member_id: str
    reason: SkipReason
    until: datetime | None = None
    detail: str = ""
    moves: bool = True


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Attributes are those of ``runyard.router.v1.RouteDecision``.

    Attributes:
        member_id: Empty, with provider and upstream model, when no member answered.
        session: As ``Pin.session``; empty for a call without one.
        moved_at: When the session was pinned, if the call follows its pin.
        move_reason: As ``Pin.reason``, if the call follows its pin.
    """

    target_id: str
    pool: bool
    pool_revision: str
    registry_version: int
    home_member_id: str
    sticky: Sticky
    member_id: str = ""
    provider_id: str = ""
    upstream_model: str = ""
    attempts: tuple[Attempt, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    session: str = ""
    moved_at: datetime | None = None
    move_reason: FailureClass | SkipReason | None = None
