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
    no_args_is_help=True, help="See and clear what the router knows of members and sessions."
)


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


@router_app.command("reset-member")
def reset_member(
    target: Annotated[str, typer.Argument(help="A pool, or a model that is called directly.")],
    member: Annotated[str, typer.Argument(help="One of its models; all of them without it.")] = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Close the circuit of a member, end its quarantine and its quota deadline; a repeat changes
    nothing.

    Example: runyard router reset-member narration fast
    """

    async def work(terminal: Terminal) -> None:
        request = rpc.ResetMemberRequest(target_id=target, member_id=member)
        async with clients("router reset-member", endpoint) as stubs:
            answer = await stubs.call("router", stubs.router.ResetMember, request)
        for each in answer.members:
            terminal.line(*member_line(each))
        terminal.data(as_json(answer))

    run(output, work)


@router_app.command("unpin")
def unpin(
    pool: Annotated[str, typer.Argument(help="The model pool.")],
    session: Annotated[str, typer.Argument(help="As state shows it: thread:ID, run:ID, …")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a session go home with its next call; a repeat changes nothing.

    Example: runyard router unpin narration thread:harbour
    """

    async def work(terminal: Terminal) -> None:
        request = rpc.UnpinSessionRequest(pool_id=pool, session=session)
        async with clients("router unpin", endpoint) as stubs:
            answer = await stubs.call("router", stubs.router.UnpinSession, request)
        if answer.HasField("pin"):
            terminal.line((session, "bold"), f" is no longer held on {answer.pin.member_id}")
        else:
            terminal.line((session, "bold"), " was not held on a member")
        terminal.data(as_json(answer))

    run(output, work)


@router_app.command("cordon")
def cordon(
    pool: Annotated[str, typer.Argument(help="The model pool.")],
    member: Annotated[str, typer.Argument(help="One of its models.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give a member of a pool no new sessions, to take it out of service; pinned sessions stay.

    Ends with uncordon; a repeat changes nothing.

    Example: runyard router cordon narration fast
    """

    async def work(terminal: Terminal) -> None:
        request = rpc.CordonMemberRequest(target_id=pool, member_id=member)
        async with clients("router cordon", endpoint) as stubs:
            answer = await stubs.call("router", stubs.router.CordonMember, request)
        terminal.line(*member_line(answer.member))
        terminal.data(as_json(answer))

    run(output, work)


@router_app.command("uncordon")
def uncordon(
    pool: Annotated[str, typer.Argument(help="The model pool.")],
    member: Annotated[str, typer.Argument(help="One of its models.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give a cordoned member new sessions again; a repeat changes nothing.

    Example: runyard router uncordon narration fast
    """

    async def work(terminal: Terminal) -> None:
        request = rpc.UncordonMemberRequest(target_id=pool, member_id=member)
        async with clients("router uncordon", endpoint) as stubs:
            answer = await stubs.call("router", stubs.router.UncordonMember, request)
        terminal.line(*member_line(answer.member))
        terminal.data(as_json(answer))

    run(output, work)


def _show(answer: rpc.GetRoutingStateResponse, terminal: Terminal) -> None:
    for member in answer.members:
        terminal.line(*member_line(member))
    if not answer.members:
        terminal.line("no member has failed or is cordoned")
    for pin in answer.pins:
        terminal.line(*pin_line(pin))
    if not answer.pins:
        terminal.line("no session is held on a member")
    terminal.line((f"as process {answer.instance_id} of the router sees it", "dim"))
