"""`runyard call` as a process: what it reads, part by part, and what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served

pytestmark = pytest.mark.slow

ARGUMENTS = '{"text": "' + "é🚀" * 25 + '"}'


class InParts(rpc.RunControlServiceServicer):
    """Answers twenty characters of each text at a time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    async def GetToolCall(self, request: service_pb.GetToolCallRequest, context: Any) -> Any:
        at, of = request.arguments_offset, request.result_offset
        self.asked.append((request.tool_call_id, at, of))
        call = pb.ToolInvocation(
            tool_call_id=request.tool_call_id,
            tool_id="lookup",
            state=pb.ToolInvocation.STATE_SUCCEEDED,
            attempt=2,
            worker_id="desk",
            arguments_json=ARGUMENTS[at : at + 20],
            arguments_chars=len(ARGUMENTS),
            result="short"[of : of + 20],
        )
        call.settle_time.FromJsonString("2026-01-02T03:04:05Z")
        following = at + 20 if at + 20 < len(ARGUMENTS) else 0
        return service_pb.GetToolCallResponse(call=call, next_arguments_offset=following)


@pytest.mark.parametrize("typed", ["1.0", "run-1.1.0"])
async def test_a_call_is_read_to_the_end_of_its_texts(typed: str) -> None:
    # given a server that answers in parts
    server = InParts()
    async with served(rpc.add_RunControlServiceServicer_to_server, server) as address:  # type: ignore[arg-type]
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}

        # when a call is shown, for people and for scripts
        text = await runyard("call", "run-1", typed, **at)
        data = await runyard("call", "run-1", typed, "--output", "json", **at)

    # then each text is whole, once, and the rest is there
    assert (text.code, data.code) == (0, 0)
    found = json.loads(data.out)
    assert (found["arguments_json"], found["result"]) == (ARGUMENTS, "short")
    assert ARGUMENTS in text.out
    assert "attempt 2 of worker desk" in text.out
    assert "settled 2026-01-02 03:04:05" in text.out
    assert {each[0] for each in server.asked} == {"run-1.1.0"}
