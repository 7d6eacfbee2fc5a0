"""Commands of a run to the pool, which are the bodies of its outbox rows, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class PoolCommand:
    """A command; ``call_id`` is its idempotency key, and the call that gets its answer."""

    kind: ClassVar[str]

    tenant: str
    principal: str
    run_id: str
    call_id: str
    pool_id: str


@dataclass(frozen=True, slots=True)
class JoinCommand(PoolCommand):
    kind: ClassVar[str] = "pool.join"

    agent_id: str
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SendCommand(PoolCommand):
    """A message; at most one of the ``to_`` fields is set, and none addresses the whole pool."""

    kind: ClassVar[str] = "pool.send"

    body: str
    media_type: str
    to_run_id: str = ""
    to_agent_id: str = ""
    to_topic: str = ""


@dataclass(frozen=True, slots=True)
class RespondCommand(PoolCommand):
    kind: ClassVar[str] = "pool.respond"

    message_id: str
    body: str
    media_type: str


@dataclass(frozen=True, slots=True)
class SuspendCommand(PoolCommand):
    """A wait for a message to the run.

    Attributes:
        reply_to: Wait for an answer to this message; "" = for any message.
        timeout_s: Seconds; 0 = no time-out.
        after: The pool's cursor after which messages count; "" = from the start of the log.
    """

    kind: ClassVar[str] = "pool.suspend"

    condition_id: str
    reply_to: str = ""
    timeout_s: float = 0.0
    after: str = ""


@dataclass(frozen=True, slots=True)
class AckCommand(PoolCommand):
    """The acknowledgement of a message that is part of the run's conversation.

    ``call_id`` is the wait that fetched it again; "" for the first time.
    """

    kind: ClassVar[str] = "pool.ack"

    message_id: str
    receipt: str


COMMANDS: Mapping[str, type[PoolCommand]] = {
    command.kind: command
    for command in (JoinCommand, SendCommand, RespondCommand, SuspendCommand, AckCommand)
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A command that is delivered after the commit, in order within the thread."""

    command: PoolCommand
    traceparent: str = ""


def encode_command(command: PoolCommand) -> bytes:
    return json.dumps(asdict(command), sort_keys=True).encode()


def decode_command(kind: str, payload: bytes) -> PoolCommand:
    fields = json.loads(payload)
    if "topics" in fields:
        fields["topics"] = tuple(fields["topics"])
    return COMMANDS[kind](**fields)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The pool carried the command out.

    Attributes:
        result: The JSON object that becomes the result of the call.
        cursor: The pool's cursor at a join; "" for other commands.
    """

    result: str
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class CommandRefusal:
    """The pool refused the command, and would refuse a repeat; ``reason`` is its stable code."""

    reason: str
    message: str


CommandOutcome = CommandResult | CommandRefusal


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """A delivery that the pool leased; ``receipt`` is needed to acknowledge it."""

    message_id: str
    receipt: str
    body: str
