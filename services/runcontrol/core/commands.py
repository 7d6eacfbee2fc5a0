"""What a run asks of the pool: the bodies of its outbox rows, with a stable form as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class PoolCommand:
    """Base of the commands; ``call_id`` is the idempotency key and names who gets the answer."""

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
    """A message; exactly one of the ``to_`` fields is set, none addresses the whole pool."""

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
        reply_to: Only for answers to this message; "" = any message.
        timeout_s: 0 = without end.
        after: The pool's cursor from which messages count; "" = from the pool's beginning.
    """

    kind: ClassVar[str] = "pool.suspend"

    condition_id: str
    reply_to: str = ""
    timeout_s: float = 0.0
    after: str = ""


@dataclass(frozen=True, slots=True)
class AckCommand(PoolCommand):
    """The run has ``message_id`` for good; ``call_id`` is the wait that brought it once more."""

    kind: ClassVar[str] = "pool.ack"

    message_id: str
    receipt: str


COMMANDS: Mapping[str, type[PoolCommand]] = {
    command.kind: command
    for command in (JoinCommand, SendCommand, RespondCommand, SuspendCommand, AckCommand)
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A command to hand over after the commit, in order within the thread."""

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
class Answered:
    """What the pool said.

    Attributes:
        result: JSON object, as the model reads it.
        cursor: The pool's cursor at a join; "" for the others.
    """

    result: str
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class RefusedForGood:
    """The pool will never do it; ``reason`` is its stable code."""

    reason: str
    message: str


Answer = Answered | RefusedForGood


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """A delivery as the pool hands it out."""

    message_id: str
    receipt: str
    body: str
