"""What a run leaves to its thread when it is ended between two steps; how late it can end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.content.model import Role, ToolResult
from services.runcontrol.core.commands import Answered
from services.runcontrol.core.model import RunState, TerminationReason
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.stepping import Ended
from tests.unit.runcontrol.world import World, agent, now

SEND = ("pool_send", '{"body": "hi", "pool_id": "room"}')


def cancel(world: World) -> None:
    world.cancel(run_id=world.run().run_id)


def miss_the_deadline(world: World) -> None:
    claimed = world.claim_one()
    world.clock.advance(25 * 3600)
    assert world.advance(claimed) == Ended()


@pytest.mark.parametrize("end", [cancel, miss_the_deadline])
def test_a_result_that_no_step_has_used_is_still_in_the_conversation(
    end: Callable[[World], None],
) -> None:
    # given a run whose only call has its result, and which was not continued yet
    world = World()
    world.start(SEND)
    world.settle(world.command(), Answered("sent"))

    # when it is ended
    end(world)

    # then the thread's next run can be prompted: no call is without its result
    assert world.run().state is RunState.DONE
    assert [m.role for m in world.prompt()] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert world.prompt()[-1].parts == (ToolResult("m0", "sent", is_error=False),)


def test_a_result_is_in_the_conversation_once() -> None:
    # given a run that may ask its model once
    world = World(agent(max_rounds=1))
    world.start(SEND)
    world.settle(world.command(), Answered("sent"))

    # when it has used its call's result and has no round left
    following = world.advance(world.claim_one())

    # then the result is there once
    ended = world.run().termination
    assert following == Ended()
    assert ended is not None
    assert ended.reason is TerminationReason.MAX_ROUNDS
    assert [m.role for m in world.prompt()].count(Role.TOOL) == 1


def test_nobody_can_put_a_run_off_beyond_its_deadline() -> None:
    # given a run with a minute
    world = World()
    world.submit(deadline_s=60.0)

    # when the refusing side asks for more years than a calendar has
    refused = Failure(RetryClass.THROTTLED, "BUSY", "later", retry_after_s=3e11)
    now(world.execution.fail(world.claim_one(), refused))

    # then the pause ends with the run
    (reason,) = world.run().waiting
    assert reason.until == world.run().deadline_at == world.clock.now() + timedelta(seconds=60)
