"""Submission: the checks of a request, and the run, dispatch and input that it creates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from services.chassis.caller import Caller
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import IdSource
from services.content.model import Image, Message, Role
from services.runcontrol.core.errors import (
    AgentNotFoundError,
    ThreadBusyError,
    ToolNotSupportedError,
)
from services.runcontrol.core.events import InputQueued, RunQueued
from services.runcontrol.core.limits import MAX_DEADLINE_S, MAX_DELAY_S, MAX_ROUNDS
from services.runcontrol.core.model import (
    Dispatch,
    DispatchKind,
    Input,
    InputMode,
    PoolMembership,
    Priority,
    Run,
    Thread,
)
from services.runcontrol.core.ports import ThreadTx, WorkerTx
from services.runcontrol.core.specs import Catalog, Specs
from services.runcontrol.core.work import Work


class BusyPolicy(Enum):
    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class StartedBy:
    """The run that starts a run, and the id that the new one gets.

    Attributes:
        call_id: The call that waits for its end; "" when none does.
        depth: How many runs are above the new one.
    """

    child_run_id: str
    run_id: str
    call_id: str
    depth: int


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """A run to start.

    Attributes:
        thread_id: "" = a new thread.
        agent_id: "" = the agent of the thread's newest run.
        deadline_s: Seconds from the submission; longer ones are shortened to 24 h.
        max_rounds: 0 = the agent's own limit.
        max_total_tokens: 0 = the agent's own limit.
        min_registry_version: 0 = the newest version that has arrived.
        min_registry_incarnation: "" = any.
        started_by: None when a caller submits it.
        labels: Sorted pairs.
        not_before: When it may start; None = at once.
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
    min_registry_incarnation: str = ""
    started_by: StartedBy | None = None
    labels: tuple[tuple[str, str], ...] = ()
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids of what was created; ``running`` = the thread had no other work."""

    run_id: str
    thread_id: str
    dispatch_id: str
    input_id: str
    running: bool


def said_violations(messages: Sequence[Message]) -> Iterator[Violation]:
    """What is wrong with messages that a caller puts into a conversation."""
    for index, message in enumerate(messages):
        if message.role not in (Role.SYSTEM, Role.USER):
            yield Violation(f"messages[{index}].role", "must be SYSTEM or USER")
        for place, part in enumerate(message.parts):
            if isinstance(part, Image) and part.url and not part.url.startswith("https://"):
                field = f"messages[{index}].parts[{place}].image.url"
                yield Violation(field, "must begin with https://; send other images inline")


def submit_violations(command: SubmitCommand) -> Iterator[Violation]:
    """What is wrong with the values of a submission whose fields could be decoded."""
    yield from said_violations(command.messages)
    if command.deadline_s <= 0:
        yield Violation("deadline", "must be more than 0 s")
    if command.max_rounds > MAX_ROUNDS:
        yield Violation("budget.max_rounds", f"must be at most {MAX_ROUNDS}")
    if command.max_total_tokens < 0:
        yield Violation("budget.max_total_tokens", "must be at least 0")
    if command.min_registry_version < 0:
        yield Violation("min_registry_version", "must be at least 0")


def start_at(command: SubmitCommand, now: datetime) -> datetime:
    """When the run may start.

    Raises:
        InvalidRequestError: That is more than 366 days from now.
    """
    latest = timedelta(seconds=MAX_DELAY_S)
    if command.not_before is not None and command.not_before - now > latest:
        text = f"must be at most {latest.days} days from now"
        raise InvalidRequestError.of([Violation("not_before_time", text)])
    return max(command.not_before or now, now)


def choose_agent(wanted: str, thread: Thread | None) -> str:
    """The agent that the request names, else that of the thread's newest run.

    Raises:
        InvalidRequestError: Neither is set.
    """
    agent_id = wanted or (thread.agent_id if thread else "")
    if not agent_id:
        text = "is required: the thread has had no run yet"
        raise InvalidRequestError.of([Violation("agent_id", text)])
    return agent_id


def pinned_agent(catalog: Catalog, agent_id: str) -> Pinned:
    """The agent's specifications from the snapshot in use.

    Raises:
        AgentNotFoundError: The snapshot has no such agent.
    """
    specs = catalog.specs(agent_id)
    if specs is None:
        raise AgentNotFoundError.of(agent_id, catalog.version)
    return Pinned(specs, specs.digest(), catalog.version)


def check_busy(tx: ThreadTx, thread: Thread, policy: BusyPolicy, now: datetime) -> None:
    """Refuse a thread that has work if the policy requires an idle one.

    Raises:
        ThreadBusyError: The thread has work, and the policy is REJECT.
    """
    if policy is BusyPolicy.REJECT and thread.busy:
        current = thread.active_run_id or thread.open_run_id
        if not current and (head := tx.head(thread, now)):
            raise ThreadBusyError.of(thread.thread_id, head.run_id, head.dispatch_id)
        work = tx.load(thread.tenant, current, now)
        raise ThreadBusyError.of(thread.thread_id, current, work.run.dispatch_id if work else "")


def check_served(tx: WorkerTx, tenant: str, specs: Specs) -> None:
    """Refuse an agent with a tool that no worker has ever served.

    Raises:
        ToolNotSupportedError: It has one.
    """
    for tool in specs.tools:
        if tool.builtin is None and not tx.announced(tenant, tool.tool_id, tool.label):
            raise ToolNotSupportedError.of(tool.tool_id, tool.label, specs.agent.agent_id)


@dataclass(frozen=True, slots=True)
class Pinned:
    """The specifications a run is submitted with, and the registry version they are from."""

    specs: Specs
    digest: bytes
    registry_version: int


def submit(
    thread: Thread,
    command: SubmitCommand,
    pinned: Pinned,
    caller: Caller,
    ids: IdSource,
    now: datetime,
) -> Work:
    """Create a run of the pinned agent with its dispatch and input; queue it on ``thread``."""
    interrupts = command.busy_policy is BusyPolicy.INTERRUPT
    mode = InputMode.INTERRUPT_THEN_QUEUE if interrupts else InputMode.QUEUE
    parent = command.started_by or StartedBy(ids.new_id(), "", "", 0)
    run = _run(thread, command, pinned, caller, parent, now)
    dispatch = Dispatch(
        tenant=thread.tenant,
        dispatch_id=ids.new_id(),
        thread_id=thread.thread_id,
        run_id=run.run_id,
        kind=DispatchKind.START,
        epoch=thread.epoch,
        priority=command.priority,
        seq=thread.input_seq + 1,
        available_at=start_at(command, now),
        created_at=now,
        traceparent=caller.traceparent,
    )
    first_input = Input(
        tenant=thread.tenant,
        input_id=ids.new_id(),
        thread_id=thread.thread_id,
        run_id=run.run_id,
        seq=thread.input_seq + 2,
        messages=command.messages,
        created_at=now,
        agent_id=run.agent_id,
        mode=mode,
    )
    queued = replace(
        thread,
        agent_id=run.agent_id,
        latest_run_id=run.run_id,
        input_seq=first_input.seq,
        updated_at=now,
    )
    run = replace(run, dispatch_id=dispatch.dispatch_id)
    work = Work(now, queued, run, dispatches=(dispatch,), inputs=(first_input,))
    work = work.emit(RunQueued(dispatch.dispatch_id, run.agent_id))
    return work.emit(InputQueued(first_input.input_id))


def _run(
    thread: Thread,
    command: SubmitCommand,
    pinned: Pinned,
    caller: Caller,
    parent: StartedBy,
    now: datetime,
) -> Run:
    agent = pinned.specs.agent
    tokens = [n for n in (command.max_total_tokens, agent.max_total_tokens) if n]
    return Run(
        tenant=thread.tenant,
        run_id=parent.child_run_id,
        thread_id=thread.thread_id,
        agent_id=agent.agent_id,
        spec_digest=pinned.digest,
        registry_version=pinned.registry_version,
        deadline_at=start_at(command, now)
        + timedelta(seconds=min(command.deadline_s, MAX_DEADLINE_S)),
        created_at=now,
        max_rounds=min(command.max_rounds or agent.max_rounds, agent.max_rounds),
        max_total_tokens=min(tokens, default=0),
        pool=command.pool,
        priority=command.priority,
        principal=caller.principal.subject,
        traceparent=caller.traceparent,
        parent_run_id=parent.run_id,
        parent_call_id=parent.call_id,
        depth=parent.depth,
        labels=command.labels,
        not_before=command.not_before,
    )
