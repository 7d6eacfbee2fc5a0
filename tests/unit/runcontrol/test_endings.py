"""Runs that end between two steps: their calls have results, and no pause exceeds the deadline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.content.model import Role, ToolResult
from services.runcontrol.core.commands import CommandResult
from services.runcontrol.core.model import RunState, TerminationReason
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.stepping import Ended
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now

SEND = ("pool_send", '{"body": "hi", "pool_id": "room"}')


def cancel(system: InMemoryRunControl) -> None:
    system.cancel(run_id=system.run().run_id)


def miss_the_deadline(system: InMemoryRunControl) -> None:
    claimed = system.claim_one()
    system.clock.advance(25 * 3600)
    assert system.advance(claimed) == Ended()


@pytest.mark.parametrize("end", [cancel, miss_the_deadline])
def test_the_results_of_a_run_that_is_ended_between_steps_are_in_the_conversation(
    system: InMemoryRunControl, end: Callable[[InMemoryRunControl], None]
) -> None:
    # given a run whose only call has its result, and which has not continued yet
    system.start(SEND)
    system.settle(system.command(), CommandResult("sent"))

    # when it is ended
    end(system)

    # then every call of the conversation has its result
    assert system.run().state is RunState.DONE
    assert [m.role for m in system.prompt()] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert system.prompt()[-1].parts == (ToolResult("m0", "sent", is_error=False),)


def test_a_result_is_in_the_conversation_once_when_the_rounds_are_used_up() -> None:
    # given a run with one round
    system = InMemoryRunControl(agent(max_rounds=1))
    system.start(SEND)
    system.settle(system.command(), CommandResult("sent"))

    # when its call has its result
    following = system.advance(system.claim_one())

    # then the result is there once
    assert following == Ended()
    assert system.termination().reason is TerminationReason.MAX_ROUNDS
    assert [m.role for m in system.prompt()].count(Role.TOOL) == 1


def test_a_pause_ends_with_the_deadline(system: InMemoryRunControl) -> None:
    # given a run with a deadline of one minute
    system.submit(deadline_s=60.0)

    # when the refusing service asks for a pause beyond every calendar
    refused = Failure(RetryClass.THROTTLED, "BUSY", "later", retry_after_s=3e11)
    now(system.execution.fail(system.claim_one(), refused))

    # then the pause ends with the deadline
    (reason,) = system.run().waiting
    assert reason.until == system.run().deadline_at == system.clock.now() + timedelta(seconds=60)
