"""Claims of several tenants: they take turns, and none has more runs than it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import Message, Role, Text
from services.runcontrol.core.execution import Execution
from services.runcontrol.core.sharing import in_turns, room, turn_order
from services.runcontrol.core.submission import SubmitCommand
from tests.support.callers import LOCAL
from tests.support.ids import SequentialIds
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now


def submit(system: InMemoryRunControl, tenant: str, count: int) -> None:
    caller = replace(LOCAL, principal=replace(LOCAL.principal, tenant=tenant))
    for _ in range(count):
        command = SubmitCommand((Message(Role.USER, (Text("go"),)),), agent_id="helper")
        now(system.runs.submit(caller, command))


def claimed(execution: Execution, limit: int) -> list[str]:
    return [claim.run.tenant for claim in now(execution.claim(limit))]


def test_a_backlog_of_one_tenant_does_not_keep_others_waiting(system: InMemoryRunControl) -> None:
    # given a tenant with twenty runs, and two that came later with three
    submit(system, "a", 20)
    submit(system, "b", 2)
    submit(system, "c", 1)

    # when runs are claimed four at a time
    rounds = [claimed(system.execution, 4) for _ in range(3)]

    # then each tenant has its turn in every round
    assert rounds == [["a", "b", "c", "a"], ["b", "a", "a", "a"], ["a", "a", "a", "a"]]


def test_a_tenant_has_at_most_its_number_of_runs(system: InMemoryRunControl) -> None:
    # given servers that execute two runs of a tenant at a time
    ids = SequentialIds("x")
    execution = Execution(
        system.store, system.catalogs, system.clock, ids, "server-1", lambda: 1.0, 2
    )
    submit(system, "a", 5)
    submit(system, "b", 1)

    # when they claim, claim again, and claim after one run was handed back
    claims = now(execution.claim(8))
    again = claimed(execution, 8)
    now(execution.hand_back(claims[0]))
    later = claimed(execution, 8)

    # then there are never more
    assert [claim.run.tenant for claim in claims] == ["a", "b", "a"]
    assert (again, later) == ([], ["a"])


def test_no_more_tenants_are_looked_at_than_runs_are_claimed(
    system: InMemoryRunControl,
) -> None:
    # given more tenants than slots
    for tenant in "abc":
        submit(system, tenant, 2)

    # when two runs are claimed at a time
    # then the turn goes round
    assert [claimed(system.execution, 2) for _ in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]


def test_turns_begin_after_the_tenant_that_was_served_last() -> None:
    # then
    assert turn_order(["c", "a", "b"], "b") == ["c", "a", "b"]
    assert turn_order(["c", "a"], "") == ["a", "c"]
    assert in_turns({"b": ["1", "2", "3"], "a": ["9"]}, 3) == [("b", "1"), ("a", "9"), ("b", "2")]
    assert in_turns({}, 3) == []


@pytest.mark.parametrize(
    ("executing", "most", "expected"), [(0, 0, 8), (99, 0, 8), (3, 4, 1), (4, 4, 0), (5, 4, 0)]
)
def test_a_tenant_has_room_up_to_its_limit(executing: int, most: int, expected: int) -> None:
    # then
    assert room(executing, 8, most) == expected
