"""What use cases answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.pool.core.events import (
    Wake,
)
from services.pool.core.model import (
    Delivery,
    DeliveryState,
    InlineBody,
    Member,
    MessageRecord,
    MessageState,
    Reply,
)


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Members by run id, and whether there are more."""

    members: Sequence[Member]
    more: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """The message as it stands; ``deduplicated`` when the call changed nothing."""

    pool_id: str
    record: MessageRecord
    replies: tuple[Reply, ...] = ()
    deduplicated: bool = False


@dataclass(frozen=True, slots=True)
class Responded:
    """The answer, and the state of what it answers."""

    answer: Sent
    request_state: MessageState


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery with what was delivered."""

    delivery: Delivery
    record: MessageRecord
    body: InlineBody | None = None


@dataclass(frozen=True, slots=True)
class Unfetched:
    """A message that was named; ``state`` None when it was not delivered to the run."""

    message_id: str
    state: DeliveryState | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was taken out of an inbox.

    Attributes:
        seen_sequence: Where a wait for further messages begins; 0 when nothing named was brought.
    """

    pool_id: str
    parcels: tuple[Parcel, ...]
    unfetched: tuple[Unfetched, ...]
    seen_sequence: int
    more: bool


@dataclass(frozen=True, slots=True)
class Acked:
    pool_id: str
    delivery: Delivery
    record: MessageRecord
    changed: bool


@dataclass(frozen=True, slots=True)
class Suspended:
    pool_id: str
    wake: Wake
    deduplicated: bool = False


@dataclass(frozen=True, slots=True)
class WakeCancelled:
    pool_id: str
    wake: Wake
    changed: bool


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message with everything known about it."""

    pool_id: str
    record: MessageRecord
    body: InlineBody | None
    replies: tuple[Reply, ...]
    deliveries: tuple[Delivery, ...]
