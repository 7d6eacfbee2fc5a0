"""What run control and a tool worker say to each other, as values."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeAlias

from services.chassis.caller import Caller
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tool_workers import Progress, TakenCall
from services.runcontrol.core.worker_calls import (
    CallRef,
    Effect,
    Outcome,
    ResultOutcome,
    Worker,
    WorkerTimes,
)

PROTOCOL = 1


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A tool that a worker serves.

    Attributes:
        schema_digest: Of the schema that it was built for, in hexadecimal; "" = any.
        max_parallel: 0 = as many calls as it has credit for.
    """

    tool_id: str
    schema_digest: str
    max_parallel: int


@dataclass(frozen=True, slots=True)
class Result:
    ref: CallRef
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a worker.

    Attributes:
        inflight: Attempts it still executes from an earlier session.
        undelivered: Results it has not seen acknowledged.
    """

    worker: Worker
    oldest_protocol: int
    newest_protocol: int
    tools: tuple[ServedTool, ...]
    labels: tuple[str, ...]
    inflight: tuple[CallRef, ...]
    undelivered: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Credit:
    calls: int


@dataclass(frozen=True, slots=True)
class Accept:
    ref: CallRef


@dataclass(frozen=True, slots=True)
class Heartbeat:
    calls: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class Handback:
    ref: CallRef


@dataclass(frozen=True, slots=True)
class Finding:
    """What a worker has found out about a lost attempt; ``content`` is the result when DONE."""

    ref: CallRef
    effect: Effect
    content: str


@dataclass(frozen=True, slots=True)
class StopGiving:
    """The worker takes no more calls, and leaves at ``deadline_at``."""

    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NeedInput:
    """A tool asks a person; the attempt ends, and ``sealed_state`` comes back with the answer."""

    ref: CallRef
    question: str
    sealed_state: bytes


FromWorker: TypeAlias = (
    Hello | Credit | Accept | Heartbeat | Result | Finding | NeedInput | Handback | StopGiving
)


class Verdict(Enum):
    KEEP = "keep"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Welcome:
    session_id: str
    session_epoch: int
    times: WorkerTimes
    verdicts: tuple[tuple[CallRef, Verdict], ...]


@dataclass(frozen=True, slots=True)
class GivenCall:
    taken: TakenCall


@dataclass(frozen=True, slots=True)
class Probe:
    """The worker is to say whether this lost attempt took effect."""

    taken: TakenCall


@dataclass(frozen=True, slots=True)
class SchemaMismatch:
    """Calls of this version of the tool wait, and the worker does not get them."""

    tool: ToolSpec


@dataclass(frozen=True, slots=True)
class Go:
    ref: CallRef


@dataclass(frozen=True, slots=True)
class Leases:
    """Until when each call is the worker's; None when it is not any more."""

    calls: tuple[tuple[CallRef, datetime | None], ...]


@dataclass(frozen=True, slots=True)
class StopCall:
    ref: CallRef
    reason: str


@dataclass(frozen=True, slots=True)
class ResultAck:
    ref: CallRef
    outcome: ResultOutcome


@dataclass(frozen=True, slots=True)
class ServerStops:
    """The server gives no more calls; the worker should connect elsewhere."""

    deadline_at: datetime


ToWorker: TypeAlias = (
    Welcome | GivenCall | Go | Leases | StopCall | Probe | ResultAck | SchemaMismatch | ServerStops
)


class WorkerSessions(Protocol):
    """The sessions of workers with this process."""

    def serve(
        self, caller: Caller, first: FromWorker | None, messages: AsyncIterator[FromWorker]
    ) -> AsyncGenerator[ToWorker, None]:
        """One session, from its first message to its end.

        Args:
            first: None when the worker left without one.
            messages: Those that follow.

        Raises:
            OutOfSequenceError: A message came where it may not.
            ProtocolUnsupportedError: There is no version that both speak.
            ToolNotAllowedError: It may not serve one of its tools.
            SessionFencedError: A newer session of the same worker instance took over.
        """
