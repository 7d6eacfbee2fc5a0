"""Commands of a run to pools and about other runs: the bodies of its outbox rows, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Command:
    """A command; ``call_id`` is its idempotency key, and the call of ``run_id`` that gets its
    answer.
    """

    kind: ClassVar[str]

    tenant: str
    principal: str
    run_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class PoolCommand(Command):
    """A command to a pool."""

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
    correlation: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RespondCommand(PoolCommand):
    kind: ClassVar[str] = "pool.respond"

    message_id: str
    body: str
    media_type: str


@dataclass(frozen=True, slots=True)
class SuspendCommand(PoolCommand):
    """A wait for messages to the run, or for other events of the pool.

    An event counts that fits all of what is set, one of ``kinds`` and one of ``correlation``.

    Attributes:
        reply_to: The message of the run that is answered.
        timeout_s: Seconds; 0 = no time-out.
        after: The pool's cursor after which events count; "" = from the start of the log.
        kinds: Kinds of events, or families of them, ``member.*``; empty = messages to the run.
        correlation: Keys and values.
        count: How many events end the wait.
    """

    kind: ClassVar[str] = "pool.suspend"

    condition_id: str
    reply_to: str = ""
    timeout_s: float = 0.0
    after: str = ""
    kinds: tuple[str, ...] = ()
    from_run_id: str = ""
    from_agent_id: str = ""
    topic: str = ""
    correlation: tuple[tuple[str, str], ...] = ()
    count: int = 1

    @property
    def for_any_message(self) -> bool:
        """Whether every message to the run counts, so that its end leaves none unread."""
        narrowing = (self.reply_to, self.kinds, self.from_run_id, self.from_agent_id)
        return not any((*narrowing, self.topic, self.correlation))


@dataclass(frozen=True, slots=True)
class CheckCommand(PoolCommand):
    """A look for messages that wait for the run; at most ``max_messages`` are taken."""

    kind: ClassVar[str] = "pool.check"

    max_messages: int


@dataclass(frozen=True, slots=True)
class AckCommand(PoolCommand):
    """The acknowledgement of a message that is part of the run's conversation.

    ``call_id`` is the wait that fetched it again; "" for the first time.
    """

    kind: ClassVar[str] = "pool.ack"

    message_id: str
    receipt: str


@dataclass(frozen=True, slots=True)
class CancelWakeCommand(PoolCommand):
    """The end of a wait that nobody needs any more; its answer settles nothing."""

    kind: ClassVar[str] = "pool.cancel_wake"

    condition_id: str


@dataclass(frozen=True, slots=True)
class StartRunCommand(Command):
    """The start of a run of ``agent_id`` by the run.

    Attributes:
        child_run_id: The id that the new run gets.
        depth: How many runs are above the new one.
        deadline_s: Seconds that the new run may take.
        pool_id: The pool that it joins before its first step; "" for none.
        wait: Whether the call waits for the end of the new run.
    """

    kind: ClassVar[str] = "run.start"

    child_run_id: str
    agent_id: str
    input: str
    depth: int
    deadline_s: float
    pool_id: str = ""
    wait: bool = True


@dataclass(frozen=True, slots=True)
class CancelRunCommand(Command):
    """The cancel of a run that the run started and no longer waits for."""

    kind: ClassVar[str] = "run.cancel"

    child_run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunEndedCommand(Command):
    """The end of a run, for the call that started it.

    Attributes:
        completed: Whether it ended with an answer.
        result: What the call's model reads.
    """

    kind: ClassVar[str] = "run.ended"

    completed: bool
    result: str


COMMANDS: Mapping[str, type[Command]] = {
    command.kind: command
    for command in (
        *(JoinCommand, SendCommand, RespondCommand, SuspendCommand, CheckCommand),
        *(AckCommand, CancelWakeCommand, StartRunCommand, CancelRunCommand, RunEndedCommand),
    )
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A command that is delivered after the commit, in order within the thread."""

    command: Command
    traceparent: str = ""


def encode_command(command: Command) -> bytes:
    return json.dumps(asdict(command), sort_keys=True).encode()


def decode_command(kind: str, payload: bytes) -> Command:
    fields = json.loads(payload)
    return COMMANDS[kind](**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    """JSON has arrays where commands have tuples."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """A delivery that the pool leased; ``receipt`` is needed to acknowledge it."""

    message_id: str
    receipt: str
    body: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The command was carried out.

    Attributes:
        result: The JSON object that becomes the result of the call.
        cursor: The pool's cursor where the next wait begins, of a join or a check; else "".
        messages: What a check took.
    """

    result: str
    cursor: str = ""
    messages: tuple[FetchedMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandRefusal:
    """The command was refused, as a repeat would be; ``reason`` is a stable code."""

    reason: str
    message: str


CommandOutcome = CommandResult | CommandRefusal


def encode_answer(answer: CommandResult) -> bytes:
    return json.dumps(asdict(answer)).encode()


def decode_answer(body: bytes) -> CommandResult:
    facts = json.loads(body)
    messages = (FetchedMessage(**each) for each in facts.get("messages", ()))
    return CommandResult(facts["result"], facts["cursor"], tuple(messages))
