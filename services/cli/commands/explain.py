"""``runyard explain``: what a call of a model or pool would do now, without making it."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.router.v1 import router_pb2
from runyard.types.v1 import content_pb2
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.runs import asking
from services.cli.runs.asking import SessionOption, SystemOption, TargetArgument, TextArgument
from services.cli.runs.explanation import explained, show
from services.cli.talk.command import clients, run
from services.cli.talk.options import (
    EndpointOption,
    MinIncarnationOption,
    MinVersionOption,
    OutputOption,
)

ThreadOption = Annotated[str, typer.Option("--thread", help="Thread that the call belongs to.")]
RunOption = Annotated[str, typer.Option("--run", help="Run that the call belongs to.")]
AgentOption = Annotated[str, typer.Option("--agent", help="Agent that would ask.")]
ToolsOption = Annotated[
    list[str] | None, typer.Option("--tool", help="Tool that the model may call; repeatable.")
]
ImagesOption = Annotated[
    list[str] | None, typer.Option("--image", help="URL of an image to look at; repeatable.")
]


def explain(
    target: TargetArgument,
    text: TextArgument = "hello",
    *,
    system: SystemOption = "",
    session: SessionOption = "",
    thread: ThreadOption = "",
    run_id: RunOption = "",
    agent: AgentOption = "",
    tool: ToolsOption = None,
    image: ImagesOption = None,
    min_version: MinVersionOption = 0,
    min_incarnation: MinIncarnationOption = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which member would be called, who would replace it, and who is set aside, and why.

    Calls no provider and changes nothing.

    Example: runyard explain narration --session demo --tool search
    """

    async def work(terminal: Terminal) -> None:
        asked = asking.request(target, text, system, session)
        asked.session.MergeFrom(router_pb2.Session(thread_id=thread, run_id=run_id, agent_id=agent))
        asked.tools.extend(content_pb2.ToolDefinition(tool_id=each) for each in tool or ())
        asked.messages[-1].parts.extend(
            content_pb2.Part(image=content_pb2.Image(url=each)) for each in image or ()
        )
        asked.min_registry_version = min_version
        asked.min_registry_incarnation = min_incarnation
        async with clients("explain", endpoint) as stubs:
            answer = await explained(stubs, asked)
        show(answer, terminal)
        terminal.data(as_json(answer))

    run(output, work)
