"""Results of the use cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.pool.core.events import Wake
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
    """A message in its current state; ``deduplicated`` when the call changed nothing."""

    pool_id: str
    record: MessageRecord
    replies: tuple[Reply, ...] = ()
    deduplicated: bool = False


@dataclass(frozen=True, slots=True)
class Responded:
    """The answer, and the state of the message that it answers."""

    answer: Sent
    request_state: MessageState


@dataclass(frozen=True, slots=True)
class FetchedDelivery:
    """A delivery with its message and body."""

    delivery: Delivery
    record: MessageRecord
    body: InlineBody | None = None


@dataclass(frozen=True, slots=True)
class Unfetched:
    """A named message that was not fetched; ``state`` None when the run was no recipient."""

    message_id: str
    state: DeliveryState | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """Deliveries that were leased.

    Attributes:
        seen_sequence: After which record a wait for further messages begins; 0 when a fetch by
            name leased nothing.
    """

    pool_id: str
    deliveries: tuple[FetchedDelivery, ...]
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
    """A message with its body, replies and deliveries."""

    pool_id: str
    record: MessageRecord
    body: InlineBody | None
    replies: tuple[Reply, ...]
    deliveries: tuple[Delivery, ...]
