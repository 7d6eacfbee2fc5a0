"""Tool calls, with the whole of their arguments and results."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.talk.clients import Clients


async def whole_call(stubs: Clients, run_id: str, call_id: str) -> pb.ToolInvocation:
    """The call; its texts are read part by part.

    Args:
        call_id: The whole id, or step and index as in ``1.0``.

    Raises:
        CliError: The server refuses or cannot be reached.
    """
    wanted = call_id if call_id.startswith(run_id) else f"{run_id}.{call_id}"
    request = service_pb.GetToolCallRequest(run_id=run_id, tool_call_id=wanted)
    part = await stubs.call("runcontrol", stubs.runcontrol.GetToolCall, request)
    call, more_arguments, more_result = part.call, True, True
    while True:
        more_arguments = more_arguments and part.next_arguments_offset > 0
        more_result = more_result and part.next_result_offset > 0
        if not (more_arguments or more_result):
            break
        request.arguments_offset = part.next_arguments_offset
        request.result_offset = part.next_result_offset
        part = await stubs.call("runcontrol", stubs.runcontrol.GetToolCall, request)
        call.arguments_json += part.call.arguments_json if more_arguments else ""
        call.result += part.call.result if more_result else ""
    call.arguments_chars = call.result_chars = 0
    return call
