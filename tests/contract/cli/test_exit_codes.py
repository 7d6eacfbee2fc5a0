"""How a command that follows a run ends: as the run does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served

pytestmark = pytest.mark.slow

REASONS = pb.TerminationReason.DESCRIPTOR.values[1:]
COMPLETED = {"NATURAL_END", "MAX_ROUNDS", "TOKEN_BUDGET"}


class Ending(rpc.RunControlServiceServicer):
    """Every run ends for the reason whose number its thread has."""

    async def SubmitRun(
        self, request: service_pb.SubmitRunRequest, context: Any
    ) -> service_pb.SubmitRunResponse:
        return service_pb.SubmitRunResponse(run_id=request.thread_id, thread_id=request.thread_id)

    async def SubscribeRun(
        self, request: service_pb.SubscribeRunRequest, context: Any
    ) -> AsyncIterator[service_pb.SubscribeRunResponse]:
        end: Any = {"termination": {"reason": int(request.run_id)}}
        event = pb.Event(run_seq=1, run_finished=end)
        item = service_pb.SubscriptionItem(cursor=b"1", event=event)
        yield service_pb.SubscribeRunResponse(items=[item])


@pytest.mark.parametrize("command", [("run", "a", "hello", "--thread"), ("watch", "run")])
async def test_the_exit_code_says_whether_the_run_completed(command: tuple[str, ...]) -> None:
    # given a run control whose runs end for every reason that there is
    scripted = Ending()  # type: ignore[abstract]  # no other method is called
    codes = {}
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}

        # when each is followed
        for reason in REASONS:
            answer = await runyard(*command, str(reason.number), **at)
            codes[reason.name.removeprefix("TERMINATION_REASON_")] = answer.code

    # then
    assert {name for name, code in codes.items() if code == 0} == COMPLETED
    assert set(codes.values()) == {0, 1}
