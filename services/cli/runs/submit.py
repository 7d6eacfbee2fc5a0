"""Submit a run, with the messages that it starts from."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.types.v1 import content_pb2
from services.cli.talk.clients import Clients


async def submit(stubs: Clients, request: pb.SubmitRunRequest) -> pb.SubmitRunResponse:
    return await stubs.call("runcontrol", stubs.runcontrol.SubmitRun, request)


def messages(text: str, system: str = "") -> list[content_pb2.Message]:
    roles = [(content_pb2.MESSAGE_ROLE_SYSTEM, system), (content_pb2.MESSAGE_ROLE_USER, text)]
    return [
        content_pb2.Message(role=role, parts=[content_pb2.Part(text=content_pb2.Text(text=words))])
        for role, words in roles
        if words
    ]
