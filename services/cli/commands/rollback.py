"""``runyard rollback``: an old version, published again."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.registry.changes import counted, show_changes
from services.cli.registry.options import ExpectedVersionOption
from services.cli.talk.command import clients, new_request_id, run
from services.cli.talk.options import EndpointOption, OutputOption


def rollback(
    version: Annotated[int, typer.Argument(min=1, help="The version to restore.")],
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Publish the content of an old version as a new one; what came after stays in the history.

    Example: runyard rollback 12 --expected-version 15
    """

    async def work(terminal: Terminal) -> None:
        request = pb.RollbackRequest(
            version=version, expected_version=expected_version, request_id=new_request_id()
        )
        async with clients("rollback", endpoint) as stubs:
            answer = await stubs.call("registry", stubs.registry.Rollback, request)
        show_changes(answer.changes, terminal)
        terminal.line(
            f"{counted(answer.changes)}; the registry has the content of version {version} at ",
            (f"version {answer.version}", "bold"),
        )
        terminal.data(as_json(answer))

    run(output, work)
