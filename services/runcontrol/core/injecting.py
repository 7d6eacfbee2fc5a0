"""Input for a thread or a run: who reads it, and what it does to work that is under way.

| mode | the run waits | executes | is queued, named by its id | ends, is over, or there is none |
|---|---|---|---|---|
| QUEUE | continues with it | a run of its own | a run of its own | a run of its own |
| LIVE_THEN_QUEUE | continues with it | reads it at its next step | reads it | a run of its own |
| RESUME_OPEN_RUN | continues with it | NO_OPEN_RUN | NO_OPEN_RUN | NO_OPEN_RUN |
| INTERRUPT_THEN_QUEUE | ends | ends | ends | ends; always a run of its own |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from services.chassis.caller import Caller
from services.chassis.ids import IdSource
from services.content.model import Message
from services.runcontrol.core.errors import NoOpenRunError, TooManyInputsError
from services.runcontrol.core.events import InputQueued
from services.runcontrol.core.limits import MAX_PENDING_INPUTS
from services.runcontrol.core.model import (
    Input,
    InputDisposition,
    InputMode,
    NextRun,
    Priority,
    Run,
    RunState,
)
from services.runcontrol.core.resuming import Blocked, resume_with_input
from services.runcontrol.core.submission import Pinned
from services.runcontrol.core.work import Work


@dataclass(frozen=True, slots=True)
class InjectCommand:
    """Something to say; exactly one of the ids of a thread and of a run is set.

    Attributes:
        agent_id: The agent of a run that has to be started; "" = that of the run which the input
            was for, else the thread's.
        void_tickets: Void open approvals of the waiting run.
        min_registry_version: 0 = the newest version that has arrived.
        min_registry_incarnation: "" = any.
    """

    messages: tuple[Message, ...]
    mode: InputMode = InputMode.QUEUE
    thread_id: str = ""
    run_id: str = ""
    agent_id: str = ""
    void_tickets: bool = False
    min_registry_version: int = 0
    min_registry_incarnation: str = ""


class Placement(Enum):
    """NEW_RUN: a run is queued for the input. JOIN: the run that it was found for reads it."""

    NEW_RUN = "new_run"
    JOIN = "join"


def place(command: InjectCommand, run: Run | None, thread_id: str) -> Placement:
    """Who reads the input.

    Args:
        run: The run that the command names, else the one that executes or is open on the thread;
            None when none does or is.

    Raises:
        NoOpenRunError: The mode needs a run that waits.
    """
    state = run.state if run else RunState.DONE
    if command.mode is InputMode.INTERRUPT_THEN_QUEUE:
        return Placement.NEW_RUN
    if state is RunState.WAITING:
        return Placement.JOIN
    if command.mode is InputMode.RESUME_OPEN_RUN:
        raise NoOpenRunError.of(thread_id)
    live = command.mode is InputMode.LIVE_THEN_QUEUE
    if live and state in (RunState.RUNNING, RunState.QUEUED):
        return Placement.JOIN
    return Placement.NEW_RUN


def join(
    work: Work, command: InjectCommand, pinned: Pinned | None, caller: Caller, ids: IdSource
) -> tuple[Work, Input]:
    """Give the input to the run, which reads it at its next step, and to a next run if it ends.

    Args:
        pinned: The specifications of the next run; None = those of the run.

    Raises:
        TooManyInputsError: The run has as many pending inputs as it may have.
    """
    run = work.run
    if len(work.inputs) >= MAX_PENDING_INPUTS:
        raise TooManyInputsError.of(run.run_id, MAX_PENDING_INPUTS)
    following = _next_run(work, pinned, caller, ids)
    said = Input(
        tenant=run.tenant,
        input_id=ids.new_id(),
        thread_id=run.thread_id,
        run_id=run.run_id,
        seq=following.seq + 1,
        messages=command.messages,
        created_at=work.now,
        agent_id=following.agent_id,
        mode=command.mode,
        next_run=following,
    )
    work = work.on_thread(input_seq=said.seq).emit(InputQueued(said.input_id))
    blocked = Blocked(InputDisposition.LIVE)
    if run.state is RunState.WAITING:
        work, blocked = resume_with_input(
            work, ids, caller.traceparent, void_tickets=command.void_tickets
        )
    said = replace(said, disposition=blocked.disposition, blocked_by=blocked.ids)
    return replace(work, inputs=(*work.inputs, said)), said


def _next_run(work: Work, pinned: Pinned | None, caller: Caller, ids: IdSource) -> NextRun:
    run = work.run
    agent = pinned.specs.agent if pinned else None
    return NextRun(
        run_id=ids.new_id(),
        dispatch_id=ids.new_id(),
        seq=work.thread.input_seq + 1,
        agent_id=agent.agent_id if agent else run.agent_id,
        spec_digest=pinned.digest if pinned else run.spec_digest,
        registry_version=pinned.registry_version if pinned else run.registry_version,
        max_rounds=agent.max_rounds if agent else run.max_rounds,
        max_total_tokens=agent.max_total_tokens if agent else run.max_total_tokens,
        priority=Priority.NORMAL if pinned else run.priority,
        principal=caller.principal.subject,
        traceparent=caller.traceparent,
    )
