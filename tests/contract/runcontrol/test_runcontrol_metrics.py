"""The metrics of runs: how they end, what they wait for, and how long they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as worker_service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE, apply_asker, open_ticket
from tests.contract.runcontrol.test_workers_rpc import apply_clerk, worker_tool
from tests.support import clients as s
from tests.support.metrics import Measured, measuring
from tests.support.raw_worker import hello, session
from tests.support.refusals import refused
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


async def test_workers_and_the_ends_of_their_calls_are_measured(
    measured: Measured, suite: Suite
) -> None:
    # given a worker with room for three calls, which has done one of two that it was given
    await apply_clerk(suite, worker_tool("lookup", content.EFFECT_CLASS_IDEMPOTENT))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=3) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.succeed(call.ref, "shipped")
        await suite.follow(run_id)
        await suite.submit("clerk")
        await clerk.take()

        # then its room is counted while it is there
        assert measured.total("runyard.workers") == 1
        assert measured.total("runyard.workers.credit") == 1
    await until(lambda: measured.total("runyard.workers") == 0)
    assert measured.total("runyard.workers.credit") == 0
    ended = (("runyard.call.outcome", "succeeded"), ("runyard.tool.effect_class", "idempotent"))
    assert measured.values("runyard.calls") == {ended: 1}
    assert measured.total("runyard.calls.unknown") == 0


async def test_a_lost_call_of_which_a_person_is_asked_is_measured(
    measured: Measured, suite: Suite
) -> None:
    await apply_clerk(suite, worker_tool("lookup", timeout_s=0.1))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        await clerk.take()
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)
    assert measured.total("runyard.calls.unknown") == 1
    assert measured.total("runyard.calls") == 0


async def test_tickets_are_measured_from_their_opening_to_their_end(
    measured: Measured, suite: Suite
) -> None:
    # given two runs that wait for approval
    await apply_asker(suite)
    approved = await open_ticket(suite, pool_id="room")
    cancelled = await open_ticket(suite, pool_id="room")

    # when one is approved, and the other's run is cancelled
    await suite.decide(APPROVE, ticket_id=approved.ticket_id)
    await suite.follow(approved.run_id)
    await suite.cancel(run_id=cancelled.run_id)

    # then each has ended once
    kind = ("runyard.ticket.kind", "approval")
    ended = {
        (kind, ("runyard.ticket.outcome", "approve")): 1.0,
        (kind, ("runyard.ticket.outcome", "void")): 1.0,
    }
    assert measured.values("runyard.tickets.opened") == {(kind,): 2.0}
    assert measured.values("runyard.tickets.closed") == ended
    assert measured.values("runyard.ticket.duration") == ended
    # Each run was activated once before its ticket, and the approved one once behind it, at least.
    assert measured.total("gen_ai.invoke_agent.duration") >= 3


async def test_a_session_whose_beginning_fails_is_not_kept(
    measured: Measured, suite: Suite
) -> None:
    # given a worker that brings the result of a call that does not exist
    ref = worker.CallRef(tool_call_id="r.1.0", attempt=1, fence=1)
    result = worker.Result(ref=ref, succeeded=worker.Succeeded(content="x"))
    call = ToolWorkerServiceStub(suite.channel("runcontrol")).Session()
    greeting = hello("lookup", undelivered_results=[result])
    await call.write(worker_service.SessionRequest(hello=greeting))

    # then it is refused, and no session is left of it
    assert (await refused(call.read())).reason == "CALL_NOT_FOUND"
    await until(lambda: measured.total("runyard.workers") == 0)
