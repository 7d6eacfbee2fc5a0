"""Accepting input for an agent: a run, its first dispatch and its input, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from services.chassis.errors import InvalidRequestError, UnimplementedError, Violation
from services.chassis.ids import IdSource
from services.content.model import Message
from services.runcontrol.core.errors import ThreadBusyError, ToolNotSupportedError
from services.runcontrol.core.events import InputQueued, RunQueued
from services.runcontrol.core.model import (
    Dispatch,
    DispatchKind,
    Input,
    PoolMembership,
    Priority,
    Run,
    Thread,
)
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.tool_calls import unsupported
from services.runcontrol.core.work import Work

MAX_DEADLINE_S = 24 * 3600.0


class BusyPolicy(Enum):
    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """A run to start.

    Attributes:
        thread_id: "" = a new thread.
        agent_id: "" = the thread's newest run's agent.
        deadline_s: At most 24 h.
        max_rounds: 0 = the agent's own limit.
        max_total_tokens: 0 = the agent's own limit.
        min_registry_version: 0 = whatever is known.
        traceparent: Context of the submit; "" when there is none.
    """

    messages: tuple[Message, ...]
    thread_id: str = ""
    agent_id: str = ""
    busy_policy: BusyPolicy = BusyPolicy.ENQUEUE
    priority: Priority = Priority.NORMAL
    pool: PoolMembership | None = None
    deadline_s: float = MAX_DEADLINE_S
    max_rounds: int = 0
    max_total_tokens: int = 0
    min_registry_version: int = 0
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Where a new run stands; ``running`` = nothing is before it."""

    run_id: str
    thread_id: str
    dispatch_id: str
    input_id: str
    running: bool


def choose_agent(command: SubmitCommand, thread: Thread | None) -> str:
    """The agent of the request, else the thread's last one.

    Raises:
        InvalidRequestError: Neither is known.
    """
    agent_id = command.agent_id or (thread.agent_id if thread else "")
    if not agent_id:
        text = "is required: the thread has had no run yet"
        raise InvalidRequestError.of([Violation("agent_id", text)])
    return agent_id


def check_tools(specs: Specs) -> None:
    """Refuse an agent whose tools this version cannot run, before anything is accepted.

    Raises:
        ToolNotSupportedError: Names the first such tool.
    """
    for tool in specs.tools:
        if unsupported(tool):
            raise ToolNotSupportedError(
                f"tool {tool.tool_id} is not supported by this version",
                tool_id=tool.tool_id,
                agent_id=specs.agent.agent_id,
            )


def check_busy(thread: Thread, policy: BusyPolicy) -> None:
    """Apply the caller's wish about a thread that has work.

    Raises:
        ThreadBusyError: It has, and the caller wanted an idle one.
        UnimplementedError: The caller wants it interrupted.
    """
    if policy is BusyPolicy.INTERRUPT:
        raise UnimplementedError("busy_policy INTERRUPT is not served by this version")
    if policy is BusyPolicy.REJECT and thread.busy:
        run_id = thread.active_run_id or thread.open_run_id or thread.latest_run_id
        raise ThreadBusyError(
            f"thread {thread.thread_id} has work", thread_id=thread.thread_id, run_id=run_id
        )


@dataclass(frozen=True, slots=True)
class Pinned:
    """The specifications a run is submitted with, and where they are from."""

    specs: Specs
    digest: bytes
    registry_version: int


def submit(
    thread: Thread,
    command: SubmitCommand,
    pinned: Pinned,
    principal: str,
    ids: IdSource,
    now: datetime,
) -> Work:
    """Queue a run of the pinned agent on ``thread``."""
    run = _run(thread, command, pinned, principal, ids.new_id(), now)
    dispatch = Dispatch(
        tenant=thread.tenant,
        dispatch_id=ids.new_id(),
        thread_id=thread.thread_id,
        run_id=run.run_id,
        kind=DispatchKind.START,
        epoch=thread.epoch,
        priority=command.priority,
        seq=thread.input_seq + 1,
        available_at=now,
        created_at=now,
        traceparent=command.traceparent,
    )
    said = Input(
        tenant=thread.tenant,
        input_id=ids.new_id(),
        thread_id=thread.thread_id,
        run_id=run.run_id,
        seq=thread.input_seq + 2,
        messages=command.messages,
        created_at=now,
    )
    queued = replace(
        thread,
        agent_id=run.agent_id,
        latest_run_id=run.run_id,
        input_seq=said.seq,
        updated_at=now,
    )
    run = replace(run, dispatch_id=dispatch.dispatch_id)
    work = Work(now, queued, run, dispatches=(dispatch,), inputs=(said,))
    work = work.emit(RunQueued(dispatch.dispatch_id, run.agent_id))
    return work.emit(InputQueued(said.input_id))


def _run(
    thread: Thread,
    command: SubmitCommand,
    pinned: Pinned,
    principal: str,
    run_id: str,
    now: datetime,
) -> Run:
    agent = pinned.specs.agent
    tokens = [n for n in (command.max_total_tokens, agent.max_total_tokens) if n]
    return Run(
        tenant=thread.tenant,
        run_id=run_id,
        thread_id=thread.thread_id,
        agent_id=agent.agent_id,
        spec_digest=pinned.digest,
        registry_version=pinned.registry_version,
        deadline_at=now + timedelta(seconds=min(command.deadline_s, MAX_DEADLINE_S)),
        created_at=now,
        max_rounds=min(command.max_rounds or agent.max_rounds, agent.max_rounds),
        max_total_tokens=min(tokens, default=0),
        pool=command.pool,
        priority=command.priority,
        principal=principal,
        traceparent=command.traceparent,
    )
