"""Opening and joining: rules 3 to 12, and who a run belongs to."""

from __future__ import annotations

import pytest

from services.chassis.caller import Replay, Role
from services.chassis.errors import IdempotencyConflictError
from services.pool.core.errors import (
    AgentMismatchError,
    ConfigConflictError,
    PoolNotFoundError,
    RunNotOwnedError,
)
from services.pool.core.joining import JoinCommand
from services.pool.core.model import LeaverPolicy, PoolConfig
from services.pool.core.policies import canonical, holds
from services.pool.core.ports import MemberQuery
from tests.support.pool_desk import POOL, PoolDesk, as_, keyed, policy


async def test_a_new_pool_is_opened_with_record_one_and_not_created() -> None:
    # given no pool
    desk = PoolDesk()

    # when it is opened
    pool = await desk.open(PoolConfig(policy_refs=(policy("p"),)))

    # then the log begins with the opening, and nobody has created it yet
    assert (pool.head_sequence, pool.created, pool.member_count) == (1, False, 0)
    assert desk.kinds() == ["pool.opened"]
    assert await desk.pools.get(desk.caller, POOL) == pool


async def test_opening_again_with_an_equal_configuration_adds_nothing() -> None:
    # given an open pool whose policies were listed in one order
    desk = PoolDesk()
    refs = canonical([policy("b"), policy("a"), policy("a")])
    first = await desk.open(PoolConfig(required_policy_refs=refs))

    # when it is opened with the same policies in another order
    again = await desk.pools.open(
        desk.caller, POOL, PoolConfig(required_policy_refs=canonical([policy("a"), policy("b")]))
    )

    # then nothing is recorded
    assert not isinstance(again, Replay)
    assert (again.opened, again.pool) == (False, first)
    assert desk.kinds() == ["pool.opened"]


async def test_opening_with_another_configuration_is_a_conflict_that_names_the_fields() -> None:
    # given an open pool
    desk = PoolDesk()
    await desk.open()

    # when it is opened with other rules
    with pytest.raises(ConfigConflictError) as refusal:
        await desk.open(PoolConfig(auto_leave=False, leaver_policy=LeaverPolicy.REROUTE_TO_AGENT))

    # then the pool stays as it was
    assert refusal.value.metadata["fields"] == "auto_leave, leaver_policy"
    assert (await desk.pools.get(desk.caller, POOL)).config == PoolConfig()


async def test_a_repeated_request_id_answers_the_first_open() -> None:
    # given an open under a request id
    desk = PoolDesk()
    caller = keyed(desk.caller, "r-1")
    first = await desk.pools.open(caller, POOL, PoolConfig())

    # when the request is repeated, and once with other content
    again = await desk.pools.open(caller, POOL, PoolConfig())
    with pytest.raises(IdempotencyConflictError):
        await desk.pools.open(keyed(desk.caller, "r-1", b"other"), POOL, PoolConfig())

    # then the answer is the stored one
    assert again == Replay(repr(first).encode())


async def test_the_first_join_creates_the_pool_once() -> None:
    # given an open pool
    desk = PoolDesk()
    await desk.open()

    # when two runs join
    first = await desk.join("run-b", "agent-b", "news")
    second = await desk.join("run-a", "agent-a")

    # then the creation is recorded before the first member, and once
    assert desk.kinds() == ["pool.opened", "pool.created", "member.joined", "member.joined"]
    assert (first.member.sequence, first.head_sequence) == (3, 3)
    assert (second.member.sequence, second.changed) == (4, True)
    pool = await desk.pools.get(desk.caller, POOL)
    assert (pool.created, pool.member_count, pool.head_sequence) == (True, 2, 4)


async def test_members_are_listed_by_run() -> None:
    # given three members
    desk = PoolDesk()
    await desk.open()
    for run_id, agent_id, topics in [("c", "x", ()), ("a", "y", ("t",)), ("b", "x", ("t",))]:
        await desk.join(run_id, agent_id, *topics)

    # when they are listed, in whole and in part
    async def listed(query: MemberQuery) -> list[str]:
        return [m.run_id for m in (await desk.pools.members(desk.caller, POOL, query)).members]

    # then the order is that of the run ids
    assert await listed(MemberQuery(10)) == ["a", "b", "c"]
    assert await listed(MemberQuery(1, after_run_id="a")) == ["b"]
    assert await listed(MemberQuery(10, agent_id="x")) == ["b", "c"]
    assert await listed(MemberQuery(10, topic="t")) == ["a", "b"]


async def test_joining_again_with_equal_data_writes_nothing() -> None:
    # given a member
    desk = PoolDesk()
    await desk.open()
    first = await desk.join("run-a", "agent", "t", policies=(policy("p"),))
    before = desk.kinds()

    # when it joins again, the same
    again = await desk.join("run-a", "agent", "t", policies=(policy("p"),))

    # then nothing changed, and the answer is the same member
    assert (again.changed, again.member, again.head_sequence) == (False, first.member, 3)
    assert desk.kinds() == before


async def test_joining_again_with_other_data_is_a_new_incarnation() -> None:
    # given a member on a topic
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", "agent", "old")

    # when it joins with another topic
    changed = await desk.join("run-a", "agent", "new")

    # then the member is another incarnation and not counted twice
    assert (changed.member.incarnation, changed.member.topics) == (2, ("new",))
    assert desk.kinds()[-1] == "member.updated"
    assert (await desk.pools.get(desk.caller, POOL)).member_count == 1


async def test_a_member_cannot_become_another_agent() -> None:
    # given a member
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", "agent-1")

    # when it joins as another agent
    with pytest.raises(AgentMismatchError) as refusal:
        await desk.join("run-a", "agent-2")

    # then both are named
    assert refusal.value.metadata == {
        "run_id": "run-a", "agent_id": "agent-1", "wanted": "agent-2"
    }  # fmt: skip


async def test_a_run_belongs_to_the_principal_that_joined_it() -> None:
    # given a run that ann joined through a service
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", caller=as_("runcontrol", Role.SERVICE, behalf="ann"))

    # when others act as it
    with pytest.raises(RunNotOwnedError):
        await desk.join("run-a", "agent", "t", caller=as_("bob", Role.AGENT))
    with pytest.raises(RunNotOwnedError):
        await desk.join("run-a", "agent", "t", caller=as_("runcontrol", Role.SERVICE))

    # then only ann, a service on her behalf and an operator may, and the run stays hers
    await desk.join("run-a", "agent", "t", caller=as_("ann", Role.AGENT))
    await desk.join("run-a", "agent", caller=as_("runcontrol", Role.SERVICE, behalf="ann"))
    joined = await desk.join("run-a", "agent", "u", caller=as_("op", Role.OPERATOR))
    assert joined.member.principal == "ann"


async def test_pools_of_other_tenants_do_not_exist() -> None:
    # given a pool of the default tenant
    desk = PoolDesk()
    await desk.open()
    other = as_("x", Role.ADMIN)
    stranger = type(other)(type(other.principal)("other", other.principal.roles, "x"))

    # when another tenant looks for it
    for attempt in (
        desk.pools.get(stranger, POOL),
        desk.pools.members(stranger, POOL, MemberQuery(1)),
        desk.pools.join(stranger, POOL, JoinCommand("r", "a")),
    ):
        # then there is none
        with pytest.raises(PoolNotFoundError):
            await attempt


def test_containment_is_structural_and_includes_the_version() -> None:
    # given a holder of version 1
    held = (policy("a", "1"), policy("b"))

    # when and then: another version is another policy, and nothing is always contained
    assert holds(held, (policy("a", "1"),))
    assert not holds(held, (policy("a", "2"),))
    assert not holds(held, (policy("a"),))
    assert holds((), ())
