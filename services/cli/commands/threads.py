"""``runyard threads``: which conversations there are, and what was said on one."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.types.v1 import content_pb2 as content
from services.cli.base.messages import as_json, moment, short_name
from services.cli.base.terminal import Output, Terminal
from services.cli.talk.clients import Clients
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OutputOption
from services.cli.talk.paging import first, pages

_COLUMNS = ("THREAD", "STATE", "AGENT", "QUEUED", "LAST USE")
_PAGE_SIZE = 200


def threads(
    thread: Annotated[
        str, typer.Argument(metavar="THREAD", help="Show what was said on this one.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="At most this many; 0 for all.")
    ] = 20,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List threads, most recently used first; or one with its messages, oldest first.

    Examples: runyard threads

    runyard threads 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d --limit 0
    """

    async def work(terminal: Terminal) -> None:
        async with clients("threads", endpoint) as stubs:
            if thread:
                await _show_one(stubs, thread, limit, terminal)
            else:
                await _list(stubs, limit, terminal)

    run(output, work)


async def _list(stubs: Clients, limit: int, terminal: Terminal) -> None:
    request = service_pb.ListThreadsRequest(page_size=min(limit, _PAGE_SIZE) or _PAGE_SIZE)
    listing = pages(stubs, "runcontrol", stubs.runcontrol.ListThreads, request)
    found, more = await first(limit, listing, lambda page: page.threads)
    rows = [
        (
            each.thread_id,
            short_name(pb.Thread.State.DESCRIPTOR, each.state),
            each.agent_id,
            str(each.queued_dispatches),
            moment(each.update_time),
        )
        for each in found
    ]
    if rows:
        terminal.table(_COLUMNS, rows)
    else:
        terminal.note("no thread")
    if more:
        terminal.note("there are more; --limit 0 shows all")
    terminal.data({"threads": [as_json(each) for each in found], "more": more})


async def _show_one(stubs: Clients, thread_id: str, limit: int, terminal: Terminal) -> None:
    get = service_pb.GetThreadRequest(thread_id=thread_id)
    thread = (await stubs.call("runcontrol", stubs.runcontrol.GetThread, get)).thread
    ask = service_pb.GetActiveRunRequest(thread_id=thread_id)
    active = await stubs.call("runcontrol", stubs.runcontrol.GetActiveRun, ask)
    request = service_pb.ListMessagesRequest(
        thread_id=thread_id, page_size=min(limit, _PAGE_SIZE) or _PAGE_SIZE
    )
    listing = pages(stubs, "runcontrol", stubs.runcontrol.ListMessages, request)
    found, more = await first(limit, listing, lambda page: page.messages)
    state = short_name(pb.Thread.State.DESCRIPTOR, thread.state)
    queued = f", {active.queued_dispatches} queued" if active.queued_dispatches else ""
    run_of = f", run {active.run.run_id}" if active.run.run_id else ""
    terminal.line(("thread ", ""), (thread_id, "bold"), f"  {state}{run_of}{queued}")
    for each in found:
        role = short_name(content.MessageRole.DESCRIPTOR, each.message.role)
        for part in each.message.parts:
            terminal.prose(_said(part), lead=[(f"{role:<9} ", "bold")], rest=[" " * 10])
    if more:
        terminal.note("there are more; --limit 0 shows all")
    terminal.data(
        {
            "thread": as_json(thread),
            "active": as_json(active),
            "messages": [as_json(each) for each in found],
            "more": more,
        }
    )


def _said(part: content.Part) -> str:
    """A part of a message as text."""
    match part.WhichOneof("part"):
        case "text":
            return part.text.text
        case "reasoning":
            return f"({part.reasoning.text})"
        case "tool_call":
            return f"calls {part.tool_call.tool_id} {part.tool_call.arguments_json}"
        case "tool_result":
            return part.tool_result.content
        case kind:
            return f"[{kind}]"
