"""The use cases of callers who steer a thread: interrupt, say something, change what was said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.ids import IdSource
from services.content.model import Message
from services.runcontrol.core.errors import InputNotFoundError
from services.runcontrol.core.injecting import InjectCommand, Placement, join, place
from services.runcontrol.core.interrupting import Interruption, interrupt_thread
from services.runcontrol.core.model import Input, InputMode, Thread
from services.runcontrol.core.ports import Catalogs, InputPage, Reads, Store, Tx
from services.runcontrol.core.revising import check_pending, edit, retract
from services.runcontrol.core.specs import Catalog
from services.runcontrol.core.submission import (
    Pinned,
    SubmitCommand,
    check_served,
    choose_agent,
    pinned_agent,
    submit,
)
from services.runcontrol.core.work import Work, commit, living_thread, load, open_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InterruptCommand:
    """A thread to interrupt, and what to start on it; without messages nothing is started.

    Attributes:
        agent_id: "" = the agent of the thread's newest run.
        min_registry_version: 0 = the newest version that has arrived.
        min_registry_incarnation: "" = any.
    """

    thread_id: str
    messages: tuple[Message, ...] = ()
    agent_id: str = ""
    min_registry_version: int = 0
    min_registry_incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What an interrupt stopped, and the input that it queued; None without messages."""

    interruption: Interruption
    said: Input | None


@dataclass(frozen=True, slots=True)
class ReviseCommand:
    """Pending input to change or to take back, at the revision that the caller has read."""

    input_id: str
    revision: int
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class InputFilter:
    """A page of a thread's pending inputs: at most ``limit`` after the sequence ``after``."""

    thread_id: str
    limit: int
    after: int = 0


class Steering:
    """The use cases; each acts within the caller's tenant, as those of ``RunControl`` do."""

    def __init__(self, store: Store, catalogs: Catalogs, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids

    async def interrupt(self, caller: Caller, command: InterruptCommand) -> Interrupted | Replay:
        """End what the thread does and has queued; queue a run for the messages, if there are any.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ThreadClosedError: It was deleted.
            AgentNotFoundError: The registry snapshot in use has no such agent.
            ToolNotSupportedError: Nothing can execute one of the agent's tools.
            DomainError: SNAPSHOT_BEHIND, the requested registry version has not arrived.
        """
        catalog = await self._catalog(command) if command.messages else None
        return await self._once(caller, lambda tx: self._interrupt(tx, caller, command, catalog))

    def _interrupt(
        self,
        tx: Tx,
        caller: Caller,
        command: InterruptCommand,
        catalog: Catalog | DomainError | None,
    ) -> Interrupted:
        thread = _thread(tx, caller, command.thread_id)
        interruption = interrupt_thread(tx, thread, self._clock.now())
        if catalog is None:
            return Interrupted(interruption, None)
        pinned = _pin(tx, caller, catalog, choose_agent(command.agent_id, thread))
        mode = InputMode.INTERRUPT_THEN_QUEUE
        said = self._queue(tx, caller, interruption.thread, command.messages, mode, pinned)
        return Interrupted(interruption, said)

    async def inject(self, caller: Caller, command: InjectCommand) -> Input | Replay:
        """Store input for the run that reads it, which is one of its own if no other does.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ThreadClosedError: It was deleted.
            RunNotFoundError: There is no such run.
            NoOpenRunError: The mode continues a waiting run, and none waits.
            TooManyInputsError: The run has as many inputs to read as it may have.
            AgentNotFoundError: The registry snapshot in use has no such agent.
            ToolNotSupportedError: Nothing can execute one of the agent's tools.
            DomainError: SNAPSHOT_BEHIND, the requested registry version has not arrived.
        """
        catalog = await self._catalog(command)
        return await self._once(caller, lambda tx: self._inject(tx, caller, command, catalog))

    def _inject(
        self, tx: Tx, caller: Caller, command: InjectCommand, catalog: Catalog | DomainError
    ) -> Input:
        thread, work = self._target(tx, caller, command)
        placement = place(command, work.run if work else None, thread.thread_id)
        if work and placement is Placement.JOIN:
            return self._join(tx, caller, command, work, catalog)
        of_run = work.run.agent_id if work and command.run_id else ""
        pinned = _pin(tx, caller, catalog, choose_agent(of_run or command.agent_id, thread))
        if command.mode is InputMode.INTERRUPT_THEN_QUEUE:
            thread = interrupt_thread(tx, thread, self._clock.now()).thread
        return self._queue(tx, caller, thread, command.messages, command.mode, pinned)

    def _target(self, tx: Tx, caller: Caller, command: InjectCommand) -> tuple[Thread, Work | None]:
        """The thread, and the run that is named, else the one that executes or is open there."""
        now = self._clock.now()
        if command.run_id:
            work = load(tx, caller.tenant, command.run_id, now)
            return work.thread, work
        thread = _thread(tx, caller, command.thread_id)
        current = thread.active_run_id or thread.open_run_id
        return thread, load(tx, caller.tenant, current, now) if current else None

    def _join(
        self,
        tx: Tx,
        caller: Caller,
        command: InjectCommand,
        before: Work,
        catalog: Catalog | DomainError,
    ) -> Input:
        pinned = None
        if command.agent_id not in ("", before.run.agent_id):
            pinned = _pin(tx, caller, catalog, command.agent_id)
        after, said = join(before, command, pinned, caller, self._ids)
        commit(tx, before, after)
        return said

    def _queue(
        self,
        tx: Tx,
        caller: Caller,
        thread: Thread,
        messages: tuple[Message, ...],
        mode: InputMode,
        pinned: Pinned,
    ) -> Input:
        """Queue a run of the agent for the messages."""
        command = SubmitCommand(messages, thread.thread_id)
        work = submit(thread, command, pinned, caller, self._ids, self._clock.now())
        said = replace(work.inputs[0], mode=mode)
        commit(tx, None, replace(work, inputs=(said,)))
        return said

    async def edit(self, caller: Caller, command: ReviseCommand) -> Input | Replay:
        """Replace what pending input says; its revision rises.

        Raises:
            InputNotFoundError: There is no such input.
            AlreadyConsumedError: A run has read it.
            InputNotPendingError: It was taken back or dropped.
            StaleRevisionError: It was edited since.
        """

        def change(work: Work, said: Input) -> tuple[Work, Input]:
            return edit(work, said, command.messages, caller.principal.subject)

        return await self._once(caller, lambda tx: self._revise(tx, caller, command, change))

    async def retract(self, caller: Caller, command: ReviseCommand) -> Input | Replay:
        """Take pending input back; a run that has nothing else to begin with is cancelled.

        Raises:
            InputNotFoundError: There is no such input.
            AlreadyConsumedError: A run has read it.
            InputNotPendingError: It was taken back or dropped before.
            StaleRevisionError: It was edited since.
        """

        def change(work: Work, said: Input) -> tuple[Work, Input]:
            return retract(work, said, caller.principal.subject)

        return await self._once(caller, lambda tx: self._revise(tx, caller, command, change))

    def _revise(
        self,
        tx: Tx,
        caller: Caller,
        command: ReviseCommand,
        change: Callable[[Work, Input], tuple[Work, Input]],
    ) -> Input:
        said = _locked_input(tx, caller.tenant, command.input_id)
        check_pending(said, command.revision)
        before = load(tx, caller.tenant, said.run_id, self._clock.now())
        after, changed = change(before, said)
        commit(tx, before, after)
        return changed

    async def pending_inputs(self, caller: Caller, wanted: InputFilter) -> InputPage:
        """A page of the thread's pending inputs, oldest first; shorter if they are large.

        Raises:
            ThreadNotFoundError: There is no such thread.
        """

        def read(reads: Reads) -> InputPage:
            view = reads.thread_view(caller.tenant, wanted.thread_id)
            living_thread(view.thread if view else None, wanted.thread_id)
            return reads.pending_inputs(caller.tenant, wanted.thread_id, wanted.after, wanted.limit)

        return await self._store.read(read)

    async def _catalog(self, command: InterruptCommand | InjectCommand) -> Catalog | DomainError:
        """The registry snapshot in use; why there is none, for input that needs none."""
        try:
            return await self._catalogs.at_least(
                command.min_registry_version, command.min_registry_incarnation
            )
        except DomainError as error:
            return error

    async def _once(self, caller: Caller, effect: Callable[[Tx], T]) -> T | Replay:
        return await self._store.write(lambda tx: once(tx, caller, lambda: effect(tx)))


def _pin(tx: Tx, caller: Caller, catalog: Catalog | DomainError, agent_id: str) -> Pinned:
    """Store the agent's specifications for a run that has to be started."""
    if isinstance(catalog, DomainError):
        raise catalog
    pinned = pinned_agent(catalog, agent_id)
    check_served(tx, caller.tenant, pinned.specs)
    tx.pin(caller.tenant, pinned.digest, pinned.specs)
    return pinned


def _thread(tx: Tx, caller: Caller, thread_id: str) -> Thread:
    return open_thread(tx.thread(caller.tenant, thread_id), thread_id)


def _locked_input(tx: Tx, tenant: str, input_id: str) -> Input:
    """The input, with its thread locked: it is read again, since it was found without the lock."""
    found = tx.input(tenant, input_id)
    if found is None:
        raise InputNotFoundError.of(input_id)
    tx.thread(tenant, found.thread_id)
    return tx.input(tenant, input_id) or found
