"""`delete thread` as a process: what it asks for, what it prints."""

from __future__ import annotations

import json

import pytest

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
