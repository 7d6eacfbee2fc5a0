"""Dead letters: which there are, and another run in the place of one."""

from __future__ import annotations

import pytest

from services.content.model import Text
from services.runcontrol.core.dead_letters import DeadLetters, DeadQuery
from services.runcontrol.core.errors import (
    AgentNotFoundError,
    DispatchNotDeadError,
    DispatchNotFoundError,
)
from services.runcontrol.core.model import Dispatch, InputState, RunState
from services.runcontrol.core.retrying import Failure, RetryClass
from tests.support.callers import LOCAL
from tests.support.ids import SequentialIds
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now

BROKEN = Failure(RetryClass.FATAL, "INFERENCE_REFUSED", "the model refused")


def letters(system: InMemoryRunControl) -> DeadLetters:
    return DeadLetters(system.store, system.catalogs, system.clock, SequentialIds("again"))


def dead_run(system: InMemoryRunControl, **fields: object) -> Dispatch:
    """A run that ended with an error; its dispatch."""
    claimed = system.claim_new(**fields)
    system.advance(claimed)
    now(system.execution.fail(claimed, BROKEN))
    (found,) = now(letters(system).dead(LOCAL, DeadQuery(claimed.run.thread_id))).entries[-1:]
    return found


def redrive(system: InMemoryRunControl, dispatch_id: str) -> Dispatch:
    answer = now(letters(system).redrive(LOCAL, dispatch_id))
    assert isinstance(answer, Dispatch)
    return answer


def test_a_dead_letter_is_run_again_as_another_run(system: InMemoryRunControl) -> None:
    # given a run that has ended with an error
    dead = dead_run(system, thread_id="t", text="hello", labels=(("team", "a"),))

    # when it is redriven
    again = redrive(system, dead.dispatch_id)

    # then another one has the same input on the same thread, and each knows of the other
    run = system.run(again.run_id)
    assert (run.thread_id, run.state, run.labels) == ("t", RunState.QUEUED, (("team", "a"),))
    assert (again.redrive_of, again.attempt) == (dead.dispatch_id, 0)
    assert system.tables.dispatches["default", dead.dispatch_id].redriven_run_id == again.run_id
    (said,) = [i for i in system.tables.inputs.values() if i.run_id == again.run_id]
    assert [part for message in said.messages for part in message.parts] == [Text("hello")]
    assert system.run(dead.run_id).state is RunState.DONE
    claimed = system.claim_one()
    assert claimed.run.run_id == again.run_id


def test_a_dead_letter_is_redriven_once(system: InMemoryRunControl) -> None:
    dead = dead_run(system)
    again = redrive(system, dead.dispatch_id)
    with pytest.raises(DispatchNotDeadError) as refused:
        redrive(system, dead.dispatch_id)
    assert refused.value.metadata["redriven_run_id"] == again.run_id
    assert now(letters(system).dead(LOCAL, DeadQuery())).entries == ()


def test_only_a_dead_letter_is_redriven(system: InMemoryRunControl) -> None:
    queued = system.submit()
    with pytest.raises(DispatchNotDeadError, match="is queued"):
        redrive(system, queued.dispatch_id)
    with pytest.raises(DispatchNotFoundError):
        redrive(system, "none")


def test_an_agent_that_is_gone_is_said(system: InMemoryRunControl) -> None:
    dead = dead_run(system)
    system.catalogs.agents = {}
    with pytest.raises(AgentNotFoundError):
        redrive(system, dead.dispatch_id)


def test_input_that_was_taken_back_stays_so(system: InMemoryRunControl) -> None:
    dead = dead_run(system, text="hello")
    for key, said in system.tables.inputs.items():
        fields = {name: getattr(said, name) for name in said.__dataclass_fields__}
        system.tables.inputs[key] = type(said)(**{**fields, "state": InputState.RETRACTED})
    again = redrive(system, dead.dispatch_id)
    (said,) = [i for i in system.tables.inputs.values() if i.run_id == again.run_id]
    assert tuple(said.messages) == ()


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_dead_letters_are_listed_oldest_first(system: InMemoryRunControl, limit: int) -> None:
    # given three, a second apart, of two threads
    found = []
    for thread_id in ("a", "b", "a"):
        found.append(dead_run(system, thread_id=thread_id).dispatch_id)
        system.clock.advance(1.0)

    # when they are listed page by page
    listed, after = [], DeadQuery().after
    while True:
        page = now(letters(system).dead(LOCAL, DeadQuery(limit=limit, after=after)))
        listed += [each.dispatch_id for each in page.entries]
        if page.following is None:
            break
        after = page.following

    # then
    assert listed == found
    of_b = now(letters(system).dead(LOCAL, DeadQuery("b"))).entries
    assert [each.dispatch_id for each in of_b] == [found[1]]
