"""Submit a run, with the messages that it starts from."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.types.v1 import content_pb2
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.talk.clients import Clients

_LATER = re.compile(r"(\d+)([smhd])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


async def submit(stubs: Clients, request: pb.SubmitRunRequest) -> pb.SubmitRunResponse:
    return await stubs.call("runcontrol", stubs.runcontrol.SubmitRun, request)


def messages(text: str, system: str = "") -> list[content_pb2.Message]:
    roles = [(content_pb2.MESSAGE_ROLE_SYSTEM, system), (content_pb2.MESSAGE_ROLE_USER, text)]
    return [
        content_pb2.Message(role=role, parts=[content_pb2.Part(text=content_pb2.Text(text=words))])
        for role, words in roles
        if words
    ]


def later(text: str, now: datetime) -> datetime:
    """``2027-01-31T12:00:00+01:00``, or ``2h`` after ``now``; UTC without a zone.

    Raises:
        CliError: Neither of them.
    """
    after = _LATER.fullmatch(text)
    try:
        if after:
            return now + timedelta(**{_UNIT[after[2]]: int(after[1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CliError(
            f"{text!r} is no time: write 2027-01-31T12:00:00Z or 2h",
            reason="USAGE",
            exit_code=EXIT_USAGE,
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
