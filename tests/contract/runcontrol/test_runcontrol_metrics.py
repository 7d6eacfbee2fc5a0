"""The metrics of runs: how they end, what they wait for, and how long they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.metrics import Measured, measuring
from tests.support.waiting import until


@pytest.fixture
def measured() -> Iterator[Measured]:
    with measuring("runcontrol") as found:
        yield found


async def test_runs_are_measured_from_their_submission_to_their_end(
    measured: Measured, suite: Suite
) -> None:
    # given an agent that answers, one whose provider refuses, and one that waits
    refused = registry.BuiltinFault(kind=registry.BUILTIN_FAULT_KIND_UNAUTHORIZED)
    await suite.apply_agent("plain", s.replying("done"))
    await suite.apply_agent("refused", registry.BuiltinStep(fault=refused))
    await suite.apply_waiting_agent()

    # when each is run, the last until it parks
    for agent_id in ("plain", "refused"):
        await suite.follow(await suite.submit(agent_id))
    waiting = await suite.submit("waiting", pool_id="quiet")
    await suite.until_parked(waiting, pb.WAITING_KIND_WAKE)
    # A run has parked before its task has ended.
    await until(lambda: measured.total("runyard.runs.active") == 0)

    # then they are counted by what became of them
    reasons = {(("runyard.reason", "natural_end"),): 1.0, (("runyard.reason", "error"),): 1.0}
    assert measured.values("runyard.runs.finished") == reasons
    assert measured.values("runyard.run.duration") == reasons
    assert measured.values("runyard.runs.parked")[(("runyard.reason", "wake"),)] == 1
    assert measured.values("runyard.dispatch.failed_attempts") == {
        (("runyard.retry_class", "fatal"), ("runyard.will_retry", False)): 1
    }
    assert measured.total("runyard.run.time_to_first_request") == 3
    assert measured.total("runyard.dispatch.queue.duration") >= 3
    assert measured.total("runyard.lease.lost") == 0
