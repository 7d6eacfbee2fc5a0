"""The use cases of inboxes: lease what was delivered, and take the acknowledgement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.caller import Replay
from services.pool.core import leasing
from services.pool.core.errors import DeliveryNotFoundError
from services.pool.core.journal import Desk, Journal
from services.pool.core.model import Caller, Delivery, Message
from services.pool.core.ports import Encode
from services.pool.core.results import Acked, Fetched, Parcel, Unfetched

# Answers stay well below the 4 MiB that every client accepts.
MAX_ANSWER_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FetchCommand:
    """What to take out of an inbox; ``message_ids`` empty takes whatever is due."""

    run_id: str
    limit: int
    lease: timedelta
    message_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AckCommand:
    run_id: str
    message_id: str
    lease_token: str


class Inboxes:
    def __init__(self, desk: Desk, encode: Encode) -> None:
        self._desk = desk
        self._encode = encode

    async def fetch(self, caller: Caller, pool_id: str, command: FetchCommand) -> Fetched | Replay:
        """Lease deliveries to their recipient, oldest first.

        Raises:
            PoolNotFoundError: No such pool.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
        """
        return await self._desk.command(
            caller, pool_id, lambda journal: self._fetch(journal, command), self._encode.fetched
        )

    async def ack(self, caller: Caller, pool_id: str, command: AckCommand) -> Acked | Replay:
        """Take note that the recipient has a delivery.

        Raises:
            DeliveryNotFoundError: The message was not delivered to the run.
            StaleLeaseError: It was fetched again since.
            IllegalTransitionError: It has expired.
        """
        return await self._desk.command(
            caller, pool_id, lambda journal: _ack(journal, command), self._encode.acked
        )

    def _fetch(self, journal: Journal, command: FetchCommand) -> Fetched:
        journal.acting(command.run_id)
        if command.message_ids:
            wanted, unfetched = _named(journal, command)
        else:
            wanted, unfetched = _due(journal, command), []
        parcels = list(self._leased(journal, command, wanted))
        left = wanted[len(parcels) :]
        return Fetched(
            pool_id=journal.pool.pool_id,
            parcels=tuple(parcels),
            unfetched=(*unfetched, *_no_room(command, left)),
            seen_sequence=_seen(journal, command, parcels, left),
            more=bool(left),
        )

    def _leased(
        self, journal: Journal, command: FetchCommand, wanted: Sequence[Delivery]
    ) -> Iterator[Parcel]:
        """Deliveries with their content, as many as one answer holds."""
        tx, pool_id = journal.tx, journal.pool.pool_id
        left_bytes = MAX_ANSWER_BYTES
        for delivery in wanted[: command.limit]:
            record = journal.message(delivery.message_id)
            left_bytes -= _weight_bytes(record.message)
            if left_bytes < 0:
                return
            token = self._desk.ids.new_id()
            leased = leasing.lease(delivery, token, command.lease, journal.now)
            tx.save_delivery(pool_id, leased)
            yield Parcel(leased, record, tx.body(pool_id, delivery.message_id))


def _weight_bytes(message: Message) -> int:
    """What grows with the message; its ids fit into the margin."""
    labels = (text for each in message.correlation for text in (each.key, each.value))
    policies = (
        t for each in message.policy_refs for t in (each.kind, each.policy_id, each.version)
    )
    return message.body_bytes + sum(len(text.encode()) for text in (*labels, *policies))


def _due(journal: Journal, command: FetchCommand) -> list[Delivery]:
    """One more than is wanted, to know whether there is more."""
    return list(
        journal.tx.deliveries_due(
            journal.pool.pool_id, command.run_id, journal.now, command.limit + 1
        )
    )


def _named(journal: Journal, command: FetchCommand) -> tuple[list[Delivery], list[Unfetched]]:
    found, missing = [], []
    for message_id in command.message_ids:
        delivery = journal.tx.delivery(journal.pool.pool_id, message_id, command.run_id)
        if delivery is not None and leasing.is_available(delivery, journal.now):
            found.append(delivery)
        else:
            missing.append(Unfetched(message_id, leasing.state_at(delivery, journal.now)))
    return sorted(found, key=lambda delivery: delivery.sequence), missing


def _no_room(command: FetchCommand, left: Sequence[Delivery]) -> list[Unfetched]:
    named = left if command.message_ids else ()
    return [Unfetched(delivery.message_id, delivery.state) for delivery in named]


def _seen(
    journal: Journal,
    command: FetchCommand,
    parcels: Sequence[Parcel],
    left: Sequence[Delivery],
) -> int:
    if not command.message_ids and not left:
        return journal.pool.head_sequence
    return max((parcel.delivery.sequence for parcel in parcels), default=0)


def _ack(journal: Journal, command: AckCommand) -> Acked:
    tx, pool_id = journal.tx, journal.pool.pool_id
    journal.acting(command.run_id)
    delivery = tx.delivery(pool_id, command.message_id, command.run_id)
    if delivery is None:
        raise DeliveryNotFoundError.of(pool_id, command.message_id, command.run_id)
    acked = leasing.acknowledge(delivery, command.lease_token, journal.now)
    changed = acked.state is not delivery.state
    if changed:
        tx.save_delivery(pool_id, acked)
    return Acked(pool_id, acked, journal.message(delivery.message_id), changed)
