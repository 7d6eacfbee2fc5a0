"""Commands that take a run take the beginning of its id."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from services.cli.traces.ring import SpanRing, spans_folder
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served
from tests.unit.cli.test_trace import A, span

pytestmark = pytest.mark.slow

WAITING = "01a1fcc4-e497-71fe-9d94-be4855e9776e"
TRACED = "01a1fcc4-f001-7123-8000-000000000001"


class TwoRuns(rpc.RunControlServiceServicer):
    """One run waits for a decision; both have ended for whoever subscribes."""

    def __init__(self) -> None:
        self.subscribed: list[str] = []

    async def ListTickets(
        self, request: service_pb.ListTicketsRequest, context: Any
    ) -> service_pb.ListTicketsResponse:
        ticket = pb.Ticket(ticket_id="t1", run_id=WAITING, agent_id="scout", tool_id="send")
        asked = not request.run_id or request.run_id == WAITING
        return service_pb.ListTicketsResponse(tickets=[ticket] if asked else [])

    async def SubscribeRun(
        self, request: service_pb.SubscribeRunRequest, context: Any
    ) -> AsyncIterator[service_pb.SubscribeRunResponse]:
        self.subscribed.append(request.run_id)
        end: Any = {"termination": {"reason": pb.TERMINATION_REASON_NATURAL_END}}
        event = pb.Event(run_seq=1, run_finished=end)
        item = service_pb.SubscriptionItem(cursor=b"1", event=event)
        yield service_pb.SubscribeRunResponse(items=[item])


async def test_a_run_is_named_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    # given a run that waits and one of which there are spans
    ring = SpanRing(spans_folder(tmp_path))
    ring.append([span(A, 1, 0, "run", attributes={"runyard.run.id": TRACED})])
    ring.close()
    scripted = TwoRuns()  # type: ignore[abstract]  # no other method is called
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}", "RUNYARD_DATA": str(tmp_path)}

        # when both are named by their beginnings, both by one, and somebody by a whole id
        beginnings = [WAITING[:10], TRACED[:10], TRACED]
        watched = [await runyard("watch", "run", typed, **at) for typed in beginnings]
        both = await runyard("watch", "run", WAITING[:8], "-o", "json", **at)
        traced = await runyard("trace", TRACED[:10], "-o", "json", **at)
        tickets = [
            await runyard("tickets", "--run", typed, **at)
            for typed in (WAITING[:8], WAITING, TRACED[:10])
        ]

    # then
    assert [answer.code for answer in watched] == [0, 0, 0], watched[0].err
    assert scripted.subscribed == [WAITING, TRACED, TRACED]
    assert both.code == 2
    assert json.loads(both.err)["error"]["details"] == [WAITING, TRACED]
    assert json.loads(traced.out)["traces"][0]["trace_id"] == A
    assert ["t1" in answer.out for answer in tickets] == [True, True, False]
