"""``runyard demo``: the main job on this machine, from four starting servers to the trace."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.demo.manifests import RealModel, quickstart
from services.cli.demo.session import run_demo
from services.cli.local.plan import make_plan
from services.cli.talk.command import run
from services.cli.talk.options import OutputOption


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Empty or new folder; a temporary one without it."
        ),
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url",
            metavar="URL",
            help="Let an OpenAI-compatible endpoint tell the story, http://127.0.0.1:8000/v1.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="Its model; needed with --base-url.")
    ] = "",
    api_key_env: Annotated[
        str,
        typer.Option(
            "--api-key-env", metavar="VAR", help="Environment variable that holds its key, if any."
        ),
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the main job: failover, approval, wake and trace, in less than half a minute.

    Starts four servers on free ports with a fresh data folder, and drains them at the end. Needs
    no key and no network; with --base-url and --model a real model tells the story.

    Example: runyard demo --keep
    """

    async def work(terminal: Terminal) -> None:
        real = _real_model(base_url, model, api_key_env)
        await run_demo(make_plan(_fresh(data), 0), quickstart(real), real, terminal, keep=keep)

    run(output, work)


def _fresh(data: Path | None) -> Path:
    if data is None:
        return Path(tempfile.mkdtemp(prefix="runyard-demo-"))
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise CliError(
            f"{data} is not an empty folder",
            reason="DATA_FOLDER",
            hint="name a new one, or leave --data out",
            exit_code=EXIT_USAGE,
        )
    return data


def _real_model(base_url: str, model: str, api_key_env: str) -> RealModel | None:
    if not base_url and not model and not api_key_env:
        return None
    problem = ""
    if not base_url or not model:
        problem = "--base-url and --model go together"
    elif api_key_env and api_key_env not in os.environ:
        problem = f"the environment variable {api_key_env} is not set"
    if problem:
        raise CliError(
            problem,
            reason="USAGE",
            hint="for instance: runyard demo --base-url http://127.0.0.1:8000/v1 --model NAME",
            exit_code=EXIT_USAGE,
        )
    return RealModel(base_url, model, api_key_env)
