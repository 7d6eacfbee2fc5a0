"""What a person asks of a model or pool."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.router.v1 import router_pb2
from runyard.router.v1.router_service_pb2 import InferRequest
from services.cli.base.terminal import read_input
from services.cli.runs.submit import messages

TargetArgument = Annotated[
    str, typer.Argument(metavar="MODEL-OR-POOL", help="Its id in the registry.")
]
TextArgument = Annotated[str, typer.Argument(help="What to say; - reads standard input.")]
SystemOption = Annotated[str, typer.Option("--system", help="Instructions before it.")]
SessionOption = Annotated[
    str, typer.Option("--session", help="Key that keeps several calls on one member of a pool.")
]


def request(target: str, text: str, system: str, session: str) -> InferRequest:
    said = read_input() if text == "-" else text
    return InferRequest(
        target_id=target,
        messages=messages(said, system),
        session=router_pb2.Session(session_key=session),
    )
