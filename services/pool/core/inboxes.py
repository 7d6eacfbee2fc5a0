"""Use cases of inboxes: fetch deliveries under a lease, acknowledge them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.caller import Caller, Replay
from services.pool.core import leasing
from services.pool.core.errors import DeliveryNotFoundError
from services.pool.core.journal import Journal, PoolCommands
from services.pool.core.model import Delivery, Message
from services.pool.core.results import Acked, Fetched, FetchedDelivery, Unfetched

# Answers stay well below the 4 MiB that every client accepts.
MAX_ANSWER_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FetchCommand:
    """Which deliveries to fetch; with ``message_ids`` empty those that are due."""

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
    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    async def fetch(self, caller: Caller, pool_id: str, command: FetchCommand) -> Fetched | Replay:
        """Lease deliveries to their recipient, oldest first.

        Raises:
            PoolNotFoundError: No such pool.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: self._fetch(journal, command)
        )

    async def ack(self, caller: Caller, pool_id: str, command: AckCommand) -> Acked | Replay:
        """Acknowledge a delivery for its recipient; a repeat changes nothing.

        Raises:
            PoolNotFoundError: No such pool.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
            DeliveryNotFoundError: The message was not delivered to the run.
            StaleLeaseError: The delivery was fetched again since.
            IllegalTransitionError: The delivery has expired.
        """
        return await self._commands.execute(caller, pool_id, lambda journal: _ack(journal, command))

    def _fetch(self, journal: Journal, command: FetchCommand) -> Fetched:
        journal.acting(command.run_id)
        if command.message_ids:
            wanted, unfetched = _named(journal, command)
        else:
            wanted, unfetched = _due(journal, command), []
        deliveries = list(self._leased(journal, command, wanted))
        rest = wanted[len(deliveries) :]
        return Fetched(
            pool_id=journal.pool.pool_id,
            deliveries=tuple(deliveries),
            unfetched=(*unfetched, *_not_fitting(command, rest)),
            seen_sequence=_seen_sequence(journal, command, deliveries, rest),
            more=bool(rest),
        )

    def _leased(
        self, journal: Journal, command: FetchCommand, wanted: Sequence[Delivery]
    ) -> Iterator[FetchedDelivery]:
        """Lease deliveries until the limit or the size of an answer is reached."""
        tx, pool_id = journal.tx, journal.pool.pool_id
        free_bytes = MAX_ANSWER_BYTES
        for delivery in wanted[: command.limit]:
            record = journal.message(delivery.message_id)
            free_bytes -= _size_bytes(record.message)
            if free_bytes < 0:
                return
            token = self._commands.ids.new_id()
            leased = leasing.lease(delivery, token, command.lease, journal.now)
            tx.save_delivery(pool_id, leased)
            yield FetchedDelivery(leased, record, tx.body(pool_id, delivery.message_id))


def _size_bytes(message: Message) -> int:
    """The size of a message without its ids, which fit into the margin below 4 MiB."""
    labels = (text for each in message.correlation for text in (each.key, each.value))
    policies = (
        t for each in message.policy_refs for t in (each.kind, each.policy_id, each.version)
    )
    return message.body_bytes + sum(len(text.encode()) for text in (*labels, *policies))


def _due(journal: Journal, command: FetchCommand) -> list[Delivery]:
    """Deliveries that are due, one more than is wanted to know whether there are more."""
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


def _not_fitting(command: FetchCommand, rest: Sequence[Delivery]) -> list[Unfetched]:
    named = rest if command.message_ids else ()
    return [Unfetched(delivery.message_id, delivery.state) for delivery in named]


def _seen_sequence(
    journal: Journal,
    command: FetchCommand,
    deliveries: Sequence[FetchedDelivery],
    rest: Sequence[Delivery],
) -> int:
    if not command.message_ids and not rest:
        return journal.pool.head_sequence
    return max((each.delivery.sequence for each in deliveries), default=0)


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
