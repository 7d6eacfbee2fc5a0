"""The command ``runyard``: parses, and delegates to one module per command or group."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import DEFAULT_MARKUP_MODE, TyperGroup

from services.chassis.version import distribution_version
from services.cli.base.colours import styled
from services.cli.base.parameters import convert_only_if_needed

# In the order of the help: what is typed, and what answers to it in the module of that name.
_COMMANDS: Mapping[str, str] = {
    "init": "init",
    "up": "up",
    "serve": "serve",
    "check-config": "check_config",
    "migrate": "migrate",
    "doctor": "doctor",
    "apply": "apply",
    "get": "get",
    "describe": "describe",
    "delete": "delete",
    "export": "export",
    "validate": "validate",
    "diff": "diff",
    "versions": "versions",
    "rollback": "rollback",
    "audit": "audit",
    "schema": "schema",
    "infer": "infer",
    "generate": "generate",
    "explain": "explain",
    "run": "run_agent",
    "cancel": "cancel",
    "interrupt": "interrupt",
    "inject": "inject_app",
    "runs": "runs",
    "call": "call",
    "worker": "worker",
    "worker-conformance": "worker_conformance",
    "dead": "dead",
    "redrive": "redrive",
    "threads": "threads",
    "tickets": "tickets",
    "decide": "decide",
    "answer": "answer",
    "trace": "trace",
    "demo": "demo",
    "fake-provider": "fake_provider",
    "provider": "provider_app",
    "pool": "pool_app",
    "router": "router_app",
    "watch": "watch_app",
    "token": "token_app",
}


# Typer's help in boxes has bold letters, its plain one has none.
_MARKUP: Any = DEFAULT_MARKUP_MODE if styled() else None


class _Imported(Mapping[str, Any]):
    """Commands by name; a command is imported when it is asked for, the others are not.

    Importing all of them takes longer than most of them run.
    """

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = _imported(name, _COMMANDS[name])
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


def _imported(name: str, attribute: str) -> Any:
    found = getattr(import_module(f"services.cli.commands.{name.replace('-', '_')}"), attribute)
    parent = typer.Typer(add_completion=False, rich_markup_mode=_MARKUP)
    parent.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    group: Any = typer.main.get_command(parent)
    return group.commands[name]


class _Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": _Imported()})

    def list_commands(self, ctx: object) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found: Any = super().get_command(ctx, cmd_name)
        for each in (found, *getattr(found, "commands", {}).values()) if found else ():
            convert_only_if_needed(each.get_params(ctx))
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        convert_only_if_needed(self.get_params(ctx))
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="runyard",
    cls=_Commands,
    help="The control plane under LLM agents: registry, router, run control and pool.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 a server is unavailable. "
    "Servers are found by RUNYARD_ENDPOINTS=registry=host:port,… or --endpoint.",
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"runyard {distribution_version()}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """What holds for every command."""


def main() -> int:
    """Run the command line; answer the exit code."""
    try:
        app(prog_name="runyard")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
