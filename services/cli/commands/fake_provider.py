"""``runyard fake-provider``: a model provider that answers from a script."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.drain import stop_signals
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.resources import read_manifests
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption
from services.fake_provider.server import Served, serving


def fake_provider(
    script: Annotated[
        list[str],
        typer.Option(
            "--script", metavar="FILE", help="Manifest with a provider of the adapter builtin."
        ),
    ],
    provider: Annotated[
        str, typer.Option("--provider", metavar="ID", help="Which one, if there are several.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 7480,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a model provider that answers from a script, as OpenAI and Anthropic do.

    The script is that of a provider of the adapter builtin: replies, tool calls and faults. Clients
    of OpenAI use http://HOST:PORT/v1, those of Anthropic http://HOST:PORT, with any key. It is for
    development and tests, and serves whoever reaches it.

    Example: runyard fake-provider --script examples/quickstart/narration.yaml --provider south
    """

    async def work(terminal: Terminal) -> None:
        await _serve(_script_in(script, provider), host, port, terminal)

    run(output, work)


def _script_in(files: list[str], provider_id: str) -> pb.BuiltinAdapter:
    manifests = read_manifests(files)
    if manifests.problems:
        raise CliError(
            f"{len(manifests.problems)} problem(s) in the script; nothing is served",
            reason="MANIFEST",
            details=tuple(map(str, manifests.problems)),
            exit_code=EXIT_USAGE,
        )
    providers = {
        each.provider.id: each.provider.builtin
        for each in manifests.resources
        if each.provider.HasField("builtin")
    }
    if provider_id in providers:
        return providers[provider_id]
    if len(providers) == 1 and not provider_id:
        return next(iter(providers.values()))
    named = f": {', '.join(providers)}" if providers else ""
    raise CliError(
        f"{' and '.join(files)} has {len(providers)} provider(s) of the adapter builtin{named}",
        hint="name one with --provider ID" if providers else "see examples/quickstart",
        reason="NO_SCRIPT",
        exit_code=EXIT_USAGE,
    )


async def _serve(script: pb.BuiltinAdapter, host: str, port: int, terminal: Terminal) -> None:
    """Until a signal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, stopped.set)

    def told(served: Served) -> None:
        asked = f"{served.path} {served.model}, {served.messages} message(s): {served.outcome}"
        terminal.line(asked)
        terminal.data(
            {
                "path": served.path,
                "model": served.model,
                "messages": served.messages,
                "outcome": served.outcome,
            }
        )

    try:
        async with serving(script, host, port, told) as bound:
            at = f"http://{host}:{bound}"
            terminal.line((f"{at}/v1", "bold"), " for clients of OpenAI")
            terminal.line((at, "bold"), " for clients of Anthropic")
            terminal.data({"openai_base_url": f"{at}/v1", "anthropic_base_url": at})
            await stopped.wait()
    except OSError as error:
        raise CliError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="choose another --port, or 0 for a free one",
            reason="ADDRESS_IN_USE",
            exit_code=EXIT_USAGE,
        ) from None
