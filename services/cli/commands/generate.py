"""``runyard generate``: one answer of a model or pool, whole, and where it came from."""

from __future__ import annotations

from services.cli.base.terminal import Output, Terminal
from services.cli.runs import asking
from services.cli.runs.answer import whole
from services.cli.runs.asking import SessionOption, SystemOption, TargetArgument, TextArgument
from services.cli.talk.command import clients, run
from services.cli.talk.options import (
    EndpointOption,
    MinIncarnationOption,
    MinVersionOption,
    OutputOption,
)


def generate(
    target: TargetArgument,
    text: TextArgument,
    system: SystemOption = "",
    session: SessionOption = "",
    min_version: MinVersionOption = 0,
    min_incarnation: MinIncarnationOption = "",
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask for one answer as a whole, then say who gave it, who was passed over, and why.

    Example: runyard generate narration "Tell me about the harbour." -o json
    """

    async def work(terminal: Terminal) -> None:
        asked = asking.request(target, text, system, session)
        asked.min_registry_version = min_version
        asked.min_registry_incarnation = min_incarnation
        async with clients("generate", endpoint) as stubs:
            await whole(stubs, asked, terminal)

    run(output, work)
