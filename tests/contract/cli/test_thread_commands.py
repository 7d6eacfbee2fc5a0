"""`delete thread`, `describe run` and `describe thread` as processes: what they ask and print."""

from __future__ import annotations

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served

pytestmark = pytest.mark.slow


class Deleting(rpc.RunControlServiceServicer):
    """Keeps the ids that it is asked to delete; the first had a run, the second two."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def DeleteThread(
        self, request: service_pb.DeleteThreadRequest, _: object
    ) -> service_pb.DeleteThreadResponse:
        self.asked.append(request.thread_id)
        assert request.request_id
        return service_pb.DeleteThreadResponse(cancelled_count=len(self.asked) % 3)


@pytest.mark.parametrize(
    ("arguments", "asked", "lines"),
    [
        (["thread", "t1"], ["t1"], ["  - thread/t1 deleted; 1 run cancelled"]),
        (["thread/t1"], ["t1"], ["  - thread/t1 deleted; 1 run cancelled"]),
        (
            ["threads", "t1", "t2", "t3"],
            ["t1", "t2", "t3"],
            [
                "  - thread/t1 deleted; 1 run cancelled",
                "  - thread/t2 deleted; 2 runs cancelled",
                "  - thread/t3 deleted",
            ],
        ),
    ],
)
async def test_threads_are_deleted_by_their_ids(
    arguments: list[str], asked: list[str], lines: list[str]
) -> None:
    # when threads are deleted
    scripted = Deleting()
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        outcome = await runyard("delete", *arguments, **at)

    # then each is asked for, and a line says what it stopped
    assert outcome.code == 0
    assert scripted.asked == asked
    assert outcome.out.splitlines() == lines


async def test_a_deletion_is_json_if_that_is_asked_for() -> None:
    async with served(rpc.add_RunControlServiceServicer_to_server, Deleting()) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        outcome = await runyard("delete", "thread", "t1", "-o", "json", **at)

    answer = json.loads(outcome.out)
    assert (answer["deleted"], answer["cancelled_count"]) == ("thread/t1", 1)


AT = Timestamp(seconds=1_800_000_000)
TICKET = pb.Ticket(ticket_id="k1", question="May I?")
RUN = pb.Run(
    run_id="r1",
    thread_id="t1",
    agent_id="helper",
    registry_version=7,
    state=pb.Run.STATE_RUNNING,
    submitted_by="ann",
    create_time=AT,
    start_time=AT,
    deadline_time=AT,
    rounds=2,
    budget=pb.Budget(max_rounds=16),
    usage={"input_tokens": 10, "output_tokens": 5},
    labels=[pb.Label(name="team", value="red")],
    executor=pb.Executor(instance_id="i1", fence=3, lease_until_time=AT),
    output_text="So far.",
)
WAITING = pb.Run(
    run_id="r0",
    thread_id="t1",
    agent_id="helper",
    state=pb.Run.STATE_WAITING,
    waiting_reasons=[
        pb.WaitingReason(kind=pb.WAITING_KIND_USER_INPUT),
        pb.WaitingReason(kind=pb.WAITING_KIND_USER_INPUT),
        pb.WaitingReason(kind=pb.WAITING_KIND_WAKE),
    ],
    not_before_time=AT,
    create_time=AT,
)
ENDED = pb.Run(
    run_id="r2",
    state=pb.Run.STATE_DONE,
    create_time=AT,
    termination=pb.Termination(
        reason=pb.TERMINATION_REASON_ERROR, error_reason="PIN_LOST", message="gone"
    ),
)
CALLS = [
    pb.ToolInvocation(tool_id="look", state=pb.ToolInvocation.STATE_SUCCEEDED, attempt=1),
    pb.ToolInvocation(tool_id="send", state=pb.ToolInvocation.STATE_ACCEPTED, attempt=2),
]
THREAD = pb.Thread(
    thread_id="t1",
    state=pb.Thread.STATE_ACTIVE,
    epoch=2,
    fence=3,
    agent_id="helper",
    queued_dispatches=1,
    head_seq=40,
    create_time=AT,
    update_time=AT,
)


class Described(rpc.RunControlServiceServicer):
    """A run that executes on a thread, and one that waits."""

    async def GetRun(
        self, request: service_pb.GetRunRequest, _: object
    ) -> service_pb.GetRunResponse:
        if request.run_id == "r1":
            return service_pb.GetRunResponse(run=RUN, tool_calls=CALLS, open_tickets=[TICKET])
        return service_pb.GetRunResponse(run=WAITING)

    async def GetThread(self, *_: object) -> service_pb.GetThreadResponse:
        return service_pb.GetThreadResponse(thread=THREAD)

    async def GetActiveRun(self, *_: object) -> service_pb.GetActiveRunResponse:
        return service_pb.GetActiveRunResponse(run=RUN, open_tickets=[TICKET])

    async def ListRuns(
        self, request: service_pb.ListRunsRequest, _: object
    ) -> service_pb.ListRunsResponse:
        assert (request.thread_id, request.page_size) == ("t1", 5)
        return service_pb.ListRunsResponse(runs=[RUN, ENDED])

    async def ListPendingInputs(self, *_: object) -> service_pb.ListPendingInputsResponse:
        return service_pb.ListPendingInputsResponse(inputs=[pb.Input(), pb.Input()])


OF_R1 = """\
run/r1
  state     running
  executor  i1, fence 3, lease until 2027-01-15 08:00:00
  agent     helper, as of registry version 7
  thread    t1
  labels    team=red
  submitted 2027-01-15 08:00:00 by ann
  started   2027-01-15 08:00:00
  deadline  2027-01-15 08:00:00
  used      2 model calls of 16, 10 tokens in, 5 out
  calls     look succeeded
            send accepted, attempt 2
  asks      May I?
  decide    runyard decide k1 approve
  answer    So far.
  every event: runyard watch run r1
"""
OF_R0 = """\
run/r0
  state     waiting for user input, wake
  agent     helper, as of registry version 0
  thread    t1
  submitted 2027-01-15 08:00:00 by nobody known
  starts    not before 2027-01-15 08:00:00
  used      0 model calls, 0 tokens in, 0 out
  every event: runyard watch run r0
"""
OF_T1 = """\
thread/t1
  state     active
  run       r1, running
  executor  i1, fence 3, lease until 2027-01-15 08:00:00
  queued    1 dispatch
  unread    2 inputs
  agent     helper
  events    40
  created   2027-01-15 08:00:00
  used      2027-01-15 08:00:00
  epoch     2, fence 3
  asks      May I?
  decide    runyard decide k1 approve
  runs      r1  2027-01-15 08:00:00  running
            r2  2027-01-15 08:00:00  done, error, PIN_LOST, gone
  what was said: runyard threads t1
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "r1", "r0"], OF_R1 + OF_R0),
        (["run/r1"], OF_R1),
        (["thread", "t1"], OF_T1),
    ],
)
async def test_a_run_and_a_thread_are_described_on_a_screen(
    arguments: list[str], expected: str
) -> None:
    async with served(rpc.add_RunControlServiceServicer_to_server, Described()) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        text = await runyard("describe", *arguments, **at)
        data = await runyard("describe", *arguments, "-o", "json", **at)

    assert (text.code, data.code) == (0, 0)
    assert text.out == expected
    assert "r1" in data.out
