"""Dead letters: which there are, and another run in the place of one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.content.model import Message
from services.runcontrol.core.errors import DispatchNotDeadError, DispatchNotFoundError
from services.runcontrol.core.limits import DEFAULT_PAGE
from services.runcontrol.core.listing import OLDEST, Page, Place
from services.runcontrol.core.model import Dispatch, DispatchState, InputState, Thread
from services.runcontrol.core.ports import Catalogs, Store, Tx
from services.runcontrol.core.specs import Catalog
from services.runcontrol.core.submission import (
    SubmitCommand,
    check_served,
    pinned_agent,
    submit,
)
from services.runcontrol.core.work import Work, commit, load


@dataclass(frozen=True, slots=True)
class DeadQuery:
    """Which dead letters to list, oldest first; an empty thread matches all."""

    thread_id: str = ""
    limit: int = DEFAULT_PAGE
    after: Place = OLDEST


class DeadLetters:
    """The use cases of dead letters, within the caller's tenant."""

    def __init__(self, store: Store, catalogs: Catalogs, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids

    async def dead(self, caller: Caller, query: DeadQuery) -> Page[Dispatch, Place]:
        """A page of dead letters that were not redriven."""
        found = await self._store.read(
            lambda reads: reads.dead(caller.tenant, query.thread_id, query.after, query.limit + 1)
        )
        if len(found) <= query.limit:
            return Page(tuple(found))
        last = found[query.limit - 1]
        return Page(tuple(found[: query.limit]), (last.created_at, last.dispatch_id))

    async def redrive(self, caller: Caller, dispatch_id: str) -> Dispatch | Replay:
        """Submit what the run of a dead letter was asked, on its thread, with the agent as it is
        now; return the new dispatch. The dead run stays as it ended.

        Raises:
            DispatchNotFoundError: There is no such dispatch.
            DispatchNotDeadError: It is no dead letter, or was redriven before.
            AgentNotFoundError: The registry has no such agent any more.
            ToolNotSupportedError: Nothing can execute one of the agent's tools.
        """
        catalog = await self._catalogs.at_least(0, "")
        return await self._store.write(
            lambda tx: once(tx, caller, lambda: self._redrive(tx, caller, dispatch_id, catalog))
        )

    def _redrive(self, tx: Tx, caller: Caller, dispatch_id: str, catalog: Catalog) -> Dispatch:
        dead, thread = _dead(tx, caller.tenant, dispatch_id)
        now = self._clock.now()
        of = load(tx, caller.tenant, dead.run_id, now).run
        pinned = pinned_agent(catalog, of.agent_id)
        check_served(tx, caller.tenant, pinned.specs)
        tx.pin(caller.tenant, pinned.digest, pinned.specs)
        command = SubmitCommand(
            messages=_messages(tx, caller.tenant, dead.run_id),
            thread_id=of.thread_id,
            agent_id=of.agent_id,
            priority=of.priority,
            pool=of.pool,
            max_rounds=of.max_rounds,
            max_total_tokens=of.max_total_tokens,
            labels=of.labels,
        )
        work = _linked(submit(thread, command, pinned, caller, self._ids, now), dead)
        return commit(tx, None, work).claimed()


def _dead(tx: Tx, tenant: str, dispatch_id: str) -> tuple[Dispatch, Thread]:
    """The dead letter, and its thread, which is locked."""
    found = tx.find_dispatch(tenant, dispatch_id)
    thread = tx.thread(tenant, found.thread_id) if found else None
    # Read again, now that its thread is locked.
    dead = tx.find_dispatch(tenant, dispatch_id)
    if dead is None or thread is None:
        raise DispatchNotFoundError.of(dispatch_id)
    if dead.state is not DispatchState.DEAD or dead.redriven_run_id:
        raise DispatchNotDeadError.of(dispatch_id, dead.state.value, dead.redriven_run_id)
    return dead, thread


def _messages(tx: Tx, tenant: str, run_id: str) -> tuple[Message, ...]:
    """What the run was asked, in order."""
    said = (each for each in tx.inputs_of_run(tenant, run_id))
    kept = (each for each in said if each.state is not InputState.RETRACTED)
    return tuple(message for each in kept for message in each.messages)


def _linked(work: Work, dead: Dispatch) -> Work:
    work = work.with_dispatch(replace(work.claimed(), redrive_of=dead.dispatch_id))
    return work.with_dispatch(replace(dead, redriven_run_id=work.run.run_id))
