"""Opening and joining, and which principals may act as a run."""

from __future__ import annotations

import pickle

from services.chassis.caller import Caller, Principal, Replay, Role
from services.chassis.errors import IdempotencyConflictError
from services.pool.core import errors
from services.pool.core.joining import JoinCommand
from services.pool.core.model import LeaverPolicy, PoolConfig, canonical, holds
from services.pool.core.ports import MemberQuery
from tests.support.callers import keyed
from tests.support.pool_service import BOB, POOL, PoolService, caller_as, policy, refused


async def test_a_new_pool_is_opened_with_record_one_and_not_created() -> None:
    # given no pool
    service = PoolService()

    # when it is opened
    pool = await service.open(PoolConfig(policy_refs=(policy("p"),)))

    # then the log begins with the opening, and nobody has created it yet
    assert (pool.head_sequence, pool.created, pool.member_count) == (1, False, 0)
    assert service.kinds() == ["pool.opened"]
    assert await service.pools.get(service.caller, POOL) == pool


async def test_opening_again_with_an_equal_configuration_adds_nothing() -> None:
    # given an open pool whose policies were listed in one order
    service = PoolService()
    refs = canonical([policy("b"), policy("a"), policy("a")])
    first = await service.open(PoolConfig(required_policy_refs=refs))

    # when it is opened with the same policies in another order
    same = PoolConfig(required_policy_refs=canonical([policy("a"), policy("b")]))
    again = await service.pools.open(service.caller, POOL, same)

    # then nothing is recorded
    assert not isinstance(again, Replay)
    assert (again.opened, again.pool) == (False, first)
    assert service.kinds() == ["pool.opened"]


async def test_opening_with_another_configuration_is_a_conflict_that_names_the_fields() -> None:
    # given an open pool
    service = await PoolService().opened()

    # when it is opened with other rules
    other = PoolConfig(auto_leave=False, leaver_policy=LeaverPolicy.REROUTE_TO_AGENT)
    refusal = await refused(errors.ConfigConflictError, service.open(other))

    # then the pool stays as it was
    assert refusal.metadata["fields"] == "auto_leave, leaver_policy"
    assert (await service.pools.get(service.caller, POOL)).config == PoolConfig()


async def test_a_repeated_request_id_answers_the_first_open() -> None:
    # given an open under a request id
    service = PoolService()
    caller = keyed(service.caller, "r-1")
    first = await service.pools.open(caller, POOL, PoolConfig())

    # when the request is repeated, and once with other content
    again = await service.pools.open(caller, POOL, PoolConfig())
    other = keyed(service.caller, "r-1", b"other")
    await refused(IdempotencyConflictError, service.pools.open(other, POOL, PoolConfig()))

    # then the answer is the stored one
    assert again == Replay(pickle.dumps(first))


async def test_the_first_join_creates_the_pool_once() -> None:
    # given an open pool
    service = await PoolService().opened()

    # when two runs join
    first = await service.join("run-b", "agent-b", "news")
    second = await service.join("run-a", "agent-a")

    # then the creation is recorded before the first member, and once
    assert service.kinds() == ["pool.opened", "pool.created", "member.joined", "member.joined"]
    assert (first.member.sequence, first.head_sequence) == (3, 3)
    assert (second.member.sequence, second.changed) == (4, True)
    pool = await service.pools.get(service.caller, POOL)
    assert (pool.created, pool.member_count, pool.head_sequence) == (True, 2, 4)


async def test_members_are_listed_by_run() -> None:
    # given three members
    service = await PoolService().opened()
    for run_id, agent_id, topics in [("c", "x", ()), ("a", "y", ("t",)), ("b", "x", ("t",))]:
        await service.join(run_id, agent_id, *topics)

    # when they are listed, in whole and in part
    async def listed(query: MemberQuery) -> list[str]:
        page = await service.pools.members(service.caller, POOL, query)
        return [member.run_id for member in page.members]

    # then the order is that of the run ids
    assert await listed(MemberQuery(10)) == ["a", "b", "c"]
    assert await listed(MemberQuery(1, after_run_id="a")) == ["b"]
    assert await listed(MemberQuery(10, agent_id="x")) == ["b", "c"]
    assert await listed(MemberQuery(10, topic="t")) == ["a", "b"]


async def test_joining_again_with_equal_data_writes_nothing() -> None:
    # given a member
    service = await PoolService().opened()
    first = await service.join("run-a", "agent", "t", policies=(policy("p"),))
    before = service.kinds()

    # when it joins again, the same
    again = await service.join("run-a", "agent", "t", policies=(policy("p"),))

    # then nothing changed, and the answer is the same member
    assert (again.changed, again.member, again.head_sequence) == (False, first.member, 3)
    assert service.kinds() == before


async def test_joining_again_with_other_data_is_a_new_incarnation() -> None:
    # given a member on a topic
    service = await PoolService().opened()
    await service.join("run-a", "agent", "old")

    # when it joins with another topic
    changed = await service.join("run-a", "agent", "new")

    # then the member is another incarnation and not counted twice
    assert (changed.member.incarnation, changed.member.topics) == (2, ("new",))
    assert service.kinds()[-1] == "member.updated"
    assert (await service.pools.get(service.caller, POOL)).member_count == 1


async def test_a_member_cannot_become_another_agent() -> None:
    # given a member
    service = await PoolService().opened()
    await service.join("run-a", "agent-1")

    # when it joins as another agent
    refusal = await refused(errors.AgentMismatchError, service.join("run-a", "agent-2"))

    # then both are named
    both = {"run_id": "run-a", "agent_id": "agent-1", "wanted": "agent-2"}
    assert refusal.metadata == both


async def test_a_run_is_bound_to_the_principal_that_joined_it() -> None:
    # given a run that ann joined through a service
    service = await PoolService().opened()
    for_ann = caller_as("runcontrol", Role.SERVICE, behalf="ann")
    await service.join("run-a", caller=for_ann)

    # when others act as it
    for other in (BOB, caller_as("runcontrol", Role.SERVICE)):
        joins = service.join("run-a", "agent", "t", caller=other)
        await refused(errors.RunNotOwnedError, joins)

    # then only ann, a service on her behalf and an operator may, and the run stays hers
    await service.join("run-a", "agent", "t", caller=caller_as("ann", Role.AGENT))
    await service.join("run-a", "agent", caller=for_ann)
    joined = await service.join("run-a", "agent", "u", caller=caller_as("op", Role.OPERATOR))
    assert joined.member.principal == "ann"


async def test_pools_of_other_tenants_are_not_found() -> None:
    # given a pool of the default tenant
    service = await PoolService().opened()
    other = Caller(Principal("other", frozenset({Role.ADMIN}), "x"))

    # when another tenant looks for it
    for attempt in (
        service.pools.get(other, POOL),
        service.pools.members(other, POOL, MemberQuery(1)),
        service.pools.join(other, POOL, JoinCommand("r", "a")),
    ):
        # then it is not found
        await refused(errors.PoolNotFoundError, attempt)


def test_containment_is_structural_and_includes_the_version() -> None:
    # given a holder of version 1
    held = (policy("a", "1"), policy("b"))

    # when and then: another version is another policy, and nothing is always contained
    assert holds(held, (policy("a", "1"),))
    assert not holds(held, (policy("a", "2"),))
    assert not holds(held, (policy("a"),))
    assert holds((), ())
