"""Values: pools, members, messages, receipts and deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class PolicyRef:
    """The name of a policy; another version is another policy."""

    kind: str
    policy_id: str
    version: str = ""


Policies = tuple[PolicyRef, ...]


def holds(held: Policies, wanted: Policies) -> bool:
    """Whether ``held`` contains all of ``wanted``; another version is another policy."""
    return set(wanted).issubset(held)


def canonical(refs: Iterable[PolicyRef]) -> Policies:
    return tuple(sorted(set(refs)))


class LeaverPolicy(Enum):
    DEAD_LETTER = "dead_letter"
    REROUTE_TO_AGENT = "reroute_to_agent"


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """The rules of a pool. Policy references are sorted and unique, so equality is that of sets."""

    required_policy_refs: Policies = ()
    include_sender_in_pool_broadcast: bool = False
    envelope_only: bool = True
    policy_refs: Policies = ()
    auto_leave: bool = True
    leaver_policy: LeaverPolicy = LeaverPolicy.DEAD_LETTER


class PoolState(Enum):
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool; every command locks its row, and the next sequence of the log comes from it.

    Attributes:
        revision: Increases when config or state change; the etag.
        created: Whether a first member has joined.
        open_wakes: How many wakes are registered; with zero nothing is matched.
    """

    pool_id: str
    config: PoolConfig
    create_time: datetime
    update_time: datetime
    state: PoolState = PoolState.OPEN
    revision: int = 1
    created: bool = False
    member_count: int = 0
    open_wakes: int = 0
    head_sequence: int = 0
    oldest_sequence: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A run in a pool.

    Attributes:
        topics: Sorted and unique, as ``policy_refs``.
        principal: Who may act as the run.
        sequence: The log record of this incarnation.
    """

    run_id: str
    agent_id: str
    topics: tuple[str, ...]
    policy_refs: Policies
    principal: str
    incarnation: int
    join_time: datetime
    sequence: int = 0


class TargetKind(Enum):
    RUN = "run"
    AGENT = "agent"
    TOPIC = "topic"
    POOL = "pool"


class Cardinality(Enum):
    ALL = "all"
    EXACTLY_ONE = "exactly_one"


@dataclass(frozen=True, slots=True)
class Address:
    kind: TargetKind
    value: str
    cardinality: Cardinality = Cardinality.ALL


@dataclass(frozen=True, slots=True, order=True)
class Correlation:
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class InlineBody:
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class ContentRef:
    content_ref: str


Content = ContentRef | InlineBody


@dataclass(frozen=True, slots=True)
class ResponseContract:
    """How many answers a message requires; with ``timeout`` None without a time limit."""

    expected_responses: int
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as its sender submits it.

    Attributes:
        message_id: Empty when the server chooses one.
        correlation: Sorted by key.
    """

    from_run_id: str
    to: Address
    content: Content
    idempotency_key: str
    message_id: str = ""
    correlation: tuple[Correlation, ...] = ()
    reply_to: str = ""
    contract: ResponseContract | None = None
    expire_time: datetime | None = None
    policy_refs: Policies = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as its sender submits it; ``correlation`` None takes that of the request."""

    request_message_id: str
    run_id: str
    content: Content
    idempotency_key: str
    message_id: str = ""
    correlation: tuple[Correlation, ...] | None = None
    policy_refs: Policies = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was accepted, without its body.

    Attributes:
        content_ref: Empty for an inline body.
        media_type: Of the inline body; empty for a reference.
        body_sha256: Hexadecimal; empty for a reference.
        late: Whether it answers a message whose contract had ended.
    """

    message_id: str
    from_run_id: str
    from_agent_id: str
    to: Address
    idempotency_key: str
    accept_time: datetime
    content_ref: str = ""
    media_type: str = ""
    body_bytes: int = 0
    body_sha256: str = ""
    correlation: tuple[Correlation, ...] = ()
    reply_to: str = ""
    contract: ResponseContract | None = None
    expire_time: datetime | None = None
    policy_refs: Policies = ()
    late: bool = False
    traceparent: str = ""

    @property
    def response_due_time(self) -> datetime | None:
        """When its response contract times out; None when it never does."""
        if self.contract is None or self.contract.timeout is None:
            return None
        return self.accept_time + self.contract.timeout


class MessageState(Enum):
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    RESPONDED = "responded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"


class Undelivered(Enum):
    NO_SUCH_MEMBER = "no_such_member"
    NO_TOPIC_MEMBERS = "no_topic_members"
    POLICY_REQUIRED_MISSING = "policy_required_missing"
    RECIPIENT_POLICY_MISMATCH = "recipient_policy_mismatch"
    FOREIGN_POOL = "foreign_pool"
    SENDER_EXCLUDED = "sender_excluded"
    AMBIGUOUS_RECIPIENT = "ambiguous_recipient"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, order=True)
class Recipient:
    run_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A candidate that does not get a message, or an addressed run or agent that is no member."""

    run_id: str
    agent_id: str
    reason: Undelivered


@dataclass(frozen=True, slots=True)
class Receipt:
    """The state of a message and its recipients.

    Attributes:
        excluded: The first hundred, by run.
        excluded_count: How many were excluded.
        sequence: The log record of this state.
    """

    message_id: str
    state: MessageState
    sequence: int
    delivered_to: tuple[Recipient, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    excluded_count: int = 0
    failure: Undelivered | None = None


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message and its newest receipt.

    Attributes:
        digest: Of the command that sent it; unequal to that of a repeat with other content.
    """

    message: Message
    receipt: Receipt
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of one responder to a message; only its first one counts."""

    request_message_id: str
    responder_run_id: str
    reply_message_id: str
    late: bool
    sequence: int
    reply_time: datetime


class DeliveryState(Enum):
    PENDING = "pending"
    LEASED = "leased"
    ACKED = "acked"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        return self in {DeliveryState.PENDING, DeliveryState.LEASED}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in one inbox.

    Attributes:
        sequence: The record that delivered it: an inbox is read in this order.
        due_time: When it may be fetched; the end of the lease while leased.
        lease_token: Of the newest attempt; empty before the first.
    """

    message_id: str
    run_id: str
    sequence: int
    due_time: datetime
    state: DeliveryState = DeliveryState.PENDING
    attempt: int = 0
    lease_token: str = ""
    expire_time: datetime | None = None
