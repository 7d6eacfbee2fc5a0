"""``runyard router``: the health of members, and the sessions that are held on one."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.router.v1 import router_service_pb2 as rpc
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs.routing import member_line, pin_line
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption
from services.cli.talk.paging import PAGE_SIZE, pages

router_app = typer.Typer(
    no_args_is_help=True, help="See how the router sees its members and sessions."
)


@router_app.callback()
def _group() -> None:
    """Keeps `state` a command of the group while it is the only one."""


@router_app.command("state")
def state(
    target: Annotated[str, typer.Argument(help="Only this pool or model.")] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List members that failed or are set aside, and sessions that are held on a member.

    Example: runyard router state narration
    """

    async def work(terminal: Terminal) -> None:
        answer = rpc.GetRoutingStateResponse()
        request = rpc.GetRoutingStateRequest(target_id=target, page_size=PAGE_SIZE)
        async with clients("router state", endpoint) as stubs:
            async for page in pages(stubs, "router", stubs.router.GetRoutingState, request):
                answer.MergeFrom(page)
        answer.ClearField("next_page_token")
        _show(answer, terminal)
        terminal.data(as_json(answer))

    run(output, work)


def _show(answer: rpc.GetRoutingStateResponse, terminal: Terminal) -> None:
    for member in answer.members:
        terminal.line(*member_line(member))
    if not answer.members:
        terminal.line("no member has failed")
    for pin in answer.pins:
        terminal.line(*pin_line(pin))
    if not answer.pins:
        terminal.line("no session is held on a member")
    terminal.line((f"as process {answer.instance_id} of the router sees it", "dim"))
