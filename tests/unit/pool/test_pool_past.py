"""The past of a pool: what a new wait may have missed."""

from __future__ import annotations

from services.pool.core.events import EventFilter, WakeState
from services.pool.core.model import PoolConfig
from tests.support.pool_desk import PoolDesk, condition, draft, everyone, policy

DELIVERED = EventFilter(kinds=("message.delivered",))


async def test_a_member_without_the_pools_policies_is_not_seen_in_the_past_either() -> None:
    # given messages of a member that lacks the pool's policy, and then of one that holds it
    desk = PoolDesk()
    await desk.open(PoolConfig(policy_refs=(policy("p"),)))
    await desk.join("run-a")
    await desk.join("run-b", policies=(policy("p"),))
    await desk.send(draft(everyone(), "hidden", "run-a"))
    await desk.send(draft(everyone(), "seen", "run-b"))

    # when a run waits for one message, and another for two
    one = await desk.suspend(condition("run-b", "w", DELIVERED))
    two = await desk.suspend(condition("run-b", "v", DELIVERED, after_matches=2))

    # then only the second message has counted
    assert [event.message_id for event in one.matched] == ["m-seen"]
    assert (two.state, len(two.matched)) == (WakeState.REGISTERED, 1)
