"""Use cases of pools and members: open, join, read."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.caller import Caller, Replay, once
from services.pool.core.errors import PoolNotFoundError
from services.pool.core.events import Event, EventKind
from services.pool.core.joining import JoinCommand, Joined, join
from services.pool.core.journal import Journal, PoolCommands
from services.pool.core.model import Member, Pool, PoolConfig
from services.pool.core.opening import Opened, open_pool
from services.pool.core.ports import MemberQuery, Reads, Tx
from services.pool.core.results import MemberPage


class Pools:
    def __init__(self, commands: PoolCommands) -> None:
        self._commands = commands

    async def open(self, caller: Caller, pool_id: str, config: PoolConfig) -> Opened | Replay:
        """Open a pool, or return the one that is open with an equal configuration.

        Raises:
            ConfigConflictError: It is open with another configuration.
        """
        return await self._commands.store.write(
            caller.tenant,
            lambda tx: once(
                tx,
                caller,
                lambda: self._open(tx, caller, pool_id, config),
            ),
        )

    async def join(self, caller: Caller, pool_id: str, command: JoinCommand) -> Joined | Replay:
        """Make a run a member and bind it to the caller.

        Raises:
            PoolNotFoundError: No such pool.
            AgentMismatchError: The run is a member as another agent.
            RunNotOwnedError: The run is bound to another principal.
        """
        return await self._commands.execute(
            caller, pool_id, lambda journal: _join(journal, command)
        )

    async def get(self, caller: Caller, pool_id: str) -> Pool:
        """Raises:
        PoolNotFoundError: No such pool.
        """
        return await self._commands.store.read(caller.tenant, lambda reader: _pool(reader, pool_id))

    async def members(self, caller: Caller, pool_id: str, query: MemberQuery) -> MemberPage:
        """A page of members by run id.

        Raises:
            PoolNotFoundError: No such pool.
        """

        def page(reader: Reads) -> MemberPage:
            one_more = replace(query, limit=query.limit + 1)
            found = reader.members(_pool(reader, pool_id).pool_id, one_more)
            return MemberPage(found[: query.limit], more=len(found) > query.limit)

        return await self._commands.store.read(caller.tenant, page)

    def _open(self, tx: Tx, caller: Caller, pool_id: str, config: PoolConfig) -> Opened:
        now = self._commands.clock.now()
        decision = open_pool(tx.lock_pool(pool_id), pool_id, config, now)
        if not decision.opened:
            return decision
        journal = Journal(tx, decision.pool, caller, now)
        tx.insert_pool(decision.pool)
        event = Event(kind=EventKind.POOL_OPENED, policy_refs=config.policy_refs)
        journal.record(event, decision.pool)
        journal.close()
        return replace(decision, pool=journal.pool)


def _join(journal: Journal, command: JoinCommand) -> Joined:
    pool_id = journal.pool.pool_id
    existing = journal.tx.member(pool_id, command.run_id)
    decision = join(existing, command, journal.caller.principal, journal.now)
    if decision.kind is None:
        return Joined(
            pool_id, decision.member, changed=False, head_sequence=journal.pool.head_sequence
        )
    if not journal.pool.created:
        _create(journal, decision.member)
    member = replace(decision.member, sequence=journal.next_sequence)
    journal.record(_event(journal, decision.kind, member), member)
    if existing is None:
        journal.pool = replace(journal.pool, member_count=journal.pool.member_count + 1)
    journal.tx.save_member(pool_id, member)
    return Joined(pool_id, member, changed=True, head_sequence=journal.pool.head_sequence)


def _create(journal: Journal, first: Member) -> None:
    """Record that the pool has its first member."""
    journal.pool = replace(journal.pool, created=True)
    journal.record(_event(journal, EventKind.POOL_CREATED, first), journal.pool)


def _event(journal: Journal, kind: EventKind, member: Member) -> Event:
    return Event(
        kind=kind,
        sender_run_id=member.run_id,
        sender_agent_id=member.agent_id,
        policy_refs=journal.pool.config.policy_refs,
        observable=journal.observable(member),
    )


def _pool(reader: Reads, pool_id: str) -> Pool:
    pool = reader.pool(pool_id)
    if pool is None:
        raise PoolNotFoundError.of(pool_id)
    return pool
