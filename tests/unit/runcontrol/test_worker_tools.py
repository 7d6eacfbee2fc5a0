"""Which tools a worker may serve."""

from __future__ import annotations

import pytest

from services.chassis.caller import Caller, Principal, Role
from services.runcontrol.core.errors import ToolNotAllowedError
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.worker_calls import Succeeded, refuse_foreign_tools
from tests.unit.runcontrol.in_memory_runcontrol import now
from tests.unit.runcontrol.worker_desk import desk


def clerk(*tools: str) -> Principal:
    return Principal("default", frozenset({Role.WORKER}), "clerk", tools=frozenset(tools))


@pytest.mark.parametrize("tools", [set(), {"lookup", "pay", "refund"}])
def test_a_worker_serves_the_tools_that_its_token_names(tools: set[str]) -> None:
    refuse_foreign_tools(clerk(*tools), ["refund", "lookup", "pay"])


def test_a_worker_that_may_not_serve_its_tools_is_told_all_of_them() -> None:
    with pytest.raises(ToolNotAllowedError) as refused:
        refuse_foreign_tools(clerk("lookup"), ["refund", "lookup", "pay"])
    assert refused.value.reason == "PERMISSION_DENIED"
    assert refused.value.metadata["tool_ids"] == "pay, refund"


def test_a_worker_reports_no_result_of_a_tool_that_it_may_not_serve() -> None:
    # given a call that a worker executes
    d = desk()
    ref = d.accepted()

    # when another worker, which may serve other tools, sends a result for it
    with pytest.raises(ToolNotAllowedError):
        now(d.system.workers.report(Caller(clerk("pay")), ref, Succeeded("nothing")))

    # then the call has none
    assert d.call.state is CallState.ACCEPTED
