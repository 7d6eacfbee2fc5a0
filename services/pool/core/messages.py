"""Use cases of messages: send, respond, read, expire and time out."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Caller, Replay
from services.pool.core import responding
from services.pool.core.delivering import deliver, enter, repeated
from services.pool.core.digests import of_answer, of_draft
from services.pool.core.errors import AlreadyRespondedError, MessageNotFoundError
from services.pool.core.journal import Journal, PoolCommands
from services.pool.core.model import Answer, DeliveryState, Draft, MessageRecord, MessageState
from services.pool.core.ports import Reads
from services.pool.core.results import MessageView, Responded, Sent

# Of one message; more of them would not fit into an answer.
MAX_LISTED_DELIVERIES = 1_000


class Messages:
    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    async def send(self, caller: Caller, pool_id: str, draft: Draft) -> Sent | Replay:
        """Deliver ``draft`` to the members that its address resolves to.

        Raises:
            PoolNotFoundError: No such pool.
            IdempotencyConflictError: The key or the id was used for another message.
            NotAMemberError: The sender is not in the pool.
            RunNotOwnedError: The sender is bound to another principal.
            ContractUnsatisfiableError: More answers are asked for than there are recipients.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: self._send(journal, draft)
        )

    async def respond(self, caller: Caller, pool_id: str, answer: Answer) -> Responded | Replay:
        """Answer a message as one of its recipients.

        Raises:
            PoolNotFoundError: No such pool.
            MessageNotFoundError: The pool has no message to answer under this id.
            NotAMemberError: The run is not in the pool.
            RunNotOwnedError: The run is bound to another principal.
            NotARecipientError: The message was not delivered to the run.
            AlreadyRespondedError: The run gave another answer before.
            IdempotencyConflictError: The key or the id was used for another message.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: self._respond(journal, answer)
        )

    async def get(self, caller: Caller, pool_id: str, message_id: str) -> MessageView:
        """One message with its body, replies and deliveries.

        Raises:
            MessageNotFoundError: No such message, or no such pool.
        """

        def view(reader: Reads) -> MessageView:
            record = reader.message(pool_id, message_id)
            if record is None:
                raise MessageNotFoundError.of(pool_id, message_id)
            return MessageView(
                pool_id,
                record,
                reader.body(pool_id, message_id),
                tuple(reader.replies(pool_id, message_id)),
                tuple(reader.deliveries_of(pool_id, message_id)[:MAX_LISTED_DELIVERIES]),
            )

        return await self._commands.store.read(caller.tenant, view)

    def _send(self, journal: Journal, draft: Draft) -> Sent:
        digest = of_draft(draft)
        before = repeated(journal, draft.idempotency_key, digest)
        return before or deliver(journal, draft, digest, self._commands.ids.new_id())

    def _respond(self, journal: Journal, answer: Answer) -> Responded:
        request_id = answer.request_message_id
        digest = of_answer(answer)
        sent = repeated(journal, answer.idempotency_key, digest)
        if sent is None:
            request = journal.message(request_id)
            sent = self._answer(journal, answer, digest, request)
        request = journal.message(request_id)
        return Responded(sent, request.receipt.state)

    def _answer(
        self, journal: Journal, answer: Answer, digest: bytes, request: MessageRecord
    ) -> Sent:
        journal.acting(answer.run_id)
        responding.check_recipient(request, answer.run_id)
        pool_id = journal.pool.pool_id
        earlier = journal.tx.reply(pool_id, answer.request_message_id, answer.run_id)
        if earlier is None:
            draft = responding.draft_of(answer, request)
            return deliver(journal, draft, digest, self._commands.ids.new_id())
        given_id = earlier.reply_message_id
        given = journal.message(given_id)
        if not responding.has_content(given.message, answer.content):
            raise AlreadyRespondedError.of(answer.run_id, answer.request_message_id, given_id)
        return Sent(pool_id, given, deduplicated=True)


def expire(journal: Journal, message_id: str) -> None:
    """Expire the open deliveries, and the message unless one of them was acknowledged."""
    pool_id = journal.pool.pool_id
    record = journal.message(message_id)
    deliveries = journal.tx.deliveries_of(pool_id, message_id)
    for delivery in deliveries:
        if delivery.state.is_open:
            journal.tx.save_delivery(pool_id, replace(delivery, state=DeliveryState.EXPIRED))
    acked = any(delivery.state is DeliveryState.ACKED for delivery in deliveries)
    if not acked and record.receipt.state is MessageState.DELIVERED:
        enter(journal, record, MessageState.EXPIRED)


def time_out(journal: Journal, message_id: str) -> None:
    """Time out a message whose response contract is not met."""
    record = journal.message(message_id)
    if record.receipt.state is MessageState.DELIVERED:
        enter(journal, record, MessageState.TIMED_OUT)
