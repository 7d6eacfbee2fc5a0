"""The client of the pool: delivers the outbox's commands and fetches messages for runs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as service
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.outbox.rows import OutboxRow
from services.chassis.outbox.sender import RefusedError
from services.chassis.protobuf.enums import value_name
from services.runcontrol.core.commands import (
    AckCommand,
    CancelWakeCommand,
    CheckCommand,
    CommandResult,
    FetchedMessage,
    JoinCommand,
    RespondCommand,
    SendCommand,
    SuspendCommand,
    decode_command,
    encode_answer,
)

CALL_LIMIT_S = 10.0
# A step has to be committed within this time for the acknowledgement's token to be current.
FETCH_LEASE_S = 600

_PERMANENT = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.ABORTED,
    }
)


class PoolUnavailableError(DomainError):
    """The pool did not answer, or refused for a reason that may pass."""

    kind = ErrorKind.UNAVAILABLE
    reason = "POOL_UNAVAILABLE"
    retry = Retry.RETRYABLE

    @classmethod
    def of(cls, facts: ErrorFacts) -> PoolUnavailableError:
        return cls(
            f"the pool did not answer: {facts.message}",
            retry_after_s=facts.retry_after_s,
            code=facts.code.name,
        )


class PoolClient:
    """Delivers pool commands, and fetches messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = PoolServiceStub(channel)

    def deliveries(self) -> Mapping[str, Callable[[OutboxRow], Awaitable[bytes]]]:
        """The functions of the outbox sender, by kind of row."""
        return {
            JoinCommand.kind: self._delivering(self._join),
            SendCommand.kind: self._delivering(self._send),
            RespondCommand.kind: self._delivering(self._respond),
            SuspendCommand.kind: self._delivering(self._suspend),
            CheckCommand.kind: self._delivering(self._check),
            AckCommand.kind: self._delivering(self._acknowledge),
            CancelWakeCommand.kind: self._delivering(self._cancel_wake),
        }

    def _delivering(
        self, call: Callable[[Any], Awaitable[CommandResult]]
    ) -> Callable[[OutboxRow], Awaitable[bytes]]:
        async def deliver(row: OutboxRow) -> bytes:
            command = decode_command(row.kind, row.payload)
            whom = OnBehalfOf(command.tenant, command.principal, command.run_id)
            try:
                with acting_for(whom):
                    return encode_answer(await call(command))
            except grpc.aio.AioRpcError as error:
                raise _refusal(reason_of(error)) from error

        return deliver

    async def _join(self, command: JoinCommand) -> CommandResult:
        request = service.JoinPoolRequest(
            request_id=command.call_id,  # a repeat returns the cursor of the first, not a later one
            pool_id=command.pool_id,
            run_id=command.run_id,
            agent_id=command.agent_id,
            topics=command.topics,
        )
        answer = await self._stub.JoinPool(request, timeout=CALL_LIMIT_S)
        facts = {"pool_id": command.pool_id, "joined": True}
        return CommandResult(json.dumps(facts), answer.cursor.hex())

    async def _send(self, command: SendCommand) -> CommandResult:
        message = pb.Message(
            from_run_id=command.run_id,
            to=_address(command),
            inline_body=_body(command.body, command.media_type),
            correlation=_correlation(command.correlation),
            idempotency_key=command.call_id,
        )
        request = service.SendMessageRequest(pool_id=command.pool_id, message=message)
        answer = await self._stub.SendMessage(request, timeout=CALL_LIMIT_S)
        return CommandResult(receipt_json(answer.receipt))

    async def _respond(self, command: RespondCommand) -> CommandResult:
        request = service.RespondRequest(
            pool_id=command.pool_id,
            request_message_id=command.message_id,
            run_id=command.run_id,
            inline_body=_body(command.body, command.media_type),
            idempotency_key=command.call_id,
        )
        answer = await self._stub.Respond(request, timeout=CALL_LIMIT_S)
        return CommandResult(receipt_json(answer.receipt))

    async def _suspend(self, command: SuspendCommand) -> CommandResult:
        request = service.SuspendUntilRequest(
            pool_id=command.pool_id, condition=_condition(command)
        )
        await self._stub.SuspendUntil(request, timeout=CALL_LIMIT_S)
        return CommandResult("")

    async def _check(self, command: CheckCommand) -> CommandResult:
        request = service.FetchInboxRequest(
            request_id=command.call_id,  # a repeat brings what the first took
            pool_id=command.pool_id,
            run_id=command.run_id,
            max_deliveries=command.max_messages,
            lease=Duration(seconds=FETCH_LEASE_S),
        )
        answer = await self._stub.FetchInbox(request, timeout=CALL_LIMIT_S)
        facts = {"pool_id": command.pool_id, "more": answer.more}
        messages = tuple(fetched_of(delivery) for delivery in answer.deliveries)
        return CommandResult(json.dumps(facts), answer.cursor.hex(), messages)

    async def _acknowledge(self, command: AckCommand) -> CommandResult:
        request = service.AckDeliveryRequest(
            pool_id=command.pool_id,
            run_id=command.run_id,
            message_id=command.message_id,
            lease_token=command.receipt,
        )
        await self._stub.AckDelivery(request, timeout=CALL_LIMIT_S)
        return CommandResult("")

    async def _cancel_wake(self, command: CancelWakeCommand) -> CommandResult:
        request = service.CancelWakeRequest(
            pool_id=command.pool_id, condition_id=command.condition_id
        )
        await self._stub.CancelWake(request, timeout=CALL_LIMIT_S)
        return CommandResult("")

    async def fetch(
        self, principal: str, run_id: str, pool_id: str, message_ids: tuple[str, ...]
    ) -> tuple[FetchedMessage, ...]:
        """Lease those of the named deliveries that have not ended; return them.

        Raises:
            PoolUnavailableError: The pool did not answer.
        """
        request = service.FetchInboxRequest(
            pool_id=pool_id,
            run_id=run_id,
            max_deliveries=len(message_ids),
            message_ids=message_ids,
            lease=Duration(seconds=FETCH_LEASE_S),
        )
        try:
            answer = await self._stub.FetchInbox(request, timeout=CALL_LIMIT_S)
        except grpc.aio.AioRpcError as error:
            facts = reason_of(error)
            if facts.code in _PERMANENT:
                return ()  # the pool is closed, or the run has left it
            raise PoolUnavailableError.of(facts) from error
        return tuple(fetched_of(delivery) for delivery in answer.deliveries)


def _refusal(facts: ErrorFacts) -> Exception:
    """The error of a command: refused, or to be tried again later."""
    if facts.code in _PERMANENT:
        return RefusedError(facts.reason or facts.code.name, facts.message)
    return PoolUnavailableError.of(facts)


def _address(command: SendCommand) -> pb.Address:
    if command.to_run_id:
        return pb.Address(run_id=command.to_run_id)
    if command.to_agent_id:
        return pb.Address(agent_id=command.to_agent_id)
    if command.to_topic:
        return pb.Address(topic=command.to_topic)
    return pb.Address(pool_id=command.pool_id)


def _body(text: str, media_type: str) -> pb.InlineBody:
    return pb.InlineBody(data=text.encode(), media_type=media_type)


def _condition(command: SuspendCommand) -> pb.WakeCondition:
    condition = pb.WakeCondition(
        condition_id=command.condition_id,
        run_id=command.run_id,
        filters=[_filter(command)],
        after_matches=command.count,
        resume_with=pb.RESUME_POLICY_MATCHING_EVENT_REFS,
        idempotency_key=command.condition_id,
    )
    if command.timeout_s:
        condition.timeout.FromNanoseconds(round(command.timeout_s * 1e9))
    if command.after:
        condition.cursor = bytes.fromhex(command.after)
    else:
        condition.start = pb.WakeCondition.START_EARLIEST
    return condition


def _filter(command: SuspendCommand) -> pb.EventFilter:
    """Messages to the run count, unless the command names kinds of events."""
    return pb.EventFilter(
        kinds=command.kinds or ["message.delivered"],
        recipient_run_ids=[] if command.kinds else [command.run_id],
        reply_to=[command.reply_to] if command.reply_to else [],
        topics=[command.topic] if command.topic else [],
        sender_run_ids=[command.from_run_id] if command.from_run_id else [],
        sender_agent_ids=[command.from_agent_id] if command.from_agent_id else [],
        correlation=_correlation(command.correlation),
    )


def _correlation(entries: tuple[tuple[str, str], ...]) -> list[pb.Correlation]:
    return [pb.Correlation(key=key, value=value) for key, value in entries]


def receipt_json(receipt: pb.Receipt) -> str:
    """The JSON object of a receipt that the model of the sender reads."""
    facts: dict[str, object] = {
        "pool_id": receipt.pool_id,
        "message_id": receipt.message_id,
        "state": value_name(pb.MessageState, "MESSAGE_STATE", receipt.state),
        "delivered_to": [
            {"run_id": each.run_id, "agent_id": each.agent_id} for each in receipt.delivered_to
        ],
    }
    if receipt.excluded:
        facts["excluded"] = [
            {"run_id": each.run_id, "agent_id": each.agent_id, "reason": _reason(each.reason)}
            for each in receipt.excluded
        ]
    if receipt.failure_reason:
        facts["failure_reason"] = _reason(receipt.failure_reason)
    return json.dumps(facts, ensure_ascii=False)


def _reason(value: pb.UndeliveredReason) -> str:
    return value_name(pb.UndeliveredReason, "UNDELIVERED_REASON", value)


def fetched_of(delivery: pb.Delivery) -> FetchedMessage:
    """A delivery with the JSON object that the model reads."""
    message = delivery.message
    facts: dict[str, object] = {
        "pool_id": delivery.pool_id,
        "message_id": message.message_id,
        "from_run_id": message.from_run_id,
        "from_agent_id": message.from_agent_id,
        "reply_to": message.reply_to,
    }
    if message.WhichOneof("content") == "content_ref":
        facts["content_ref"] = message.content_ref
    else:
        facts["body"] = _readable(message.inline_body)
    text = json.dumps(facts, ensure_ascii=False)
    return FetchedMessage(message.message_id, delivery.lease_token, text)


def _readable(body: pb.InlineBody) -> object:
    """The value of a JSON body, the text of any other; bytes that are not UTF-8 are replaced.

    JSON that cannot be encoded again is text too: lone surrogates, nesting beyond the limit.
    """
    text = body.data.decode("utf-8", "replace")
    if body.media_type.partition(";")[0].strip() == "application/json":
        try:
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return text
        return value
    return text
