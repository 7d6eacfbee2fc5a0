"""The command ``runyard``: parses, and delegates to one module per group of commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli import (
    apply,
    audit,
    delete,
    demo,
    doctor,
    export,
    get,
    history,
    infer,
    migrate,
    pools,
    providers,
    runs,
    schema,
    serve,
    tickets,
    tokens,
    trace,
    up,
    watching,
)

app = typer.Typer(
    name="runyard",
    help="The control plane under LLM agents: registry, router, run control and pool.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 a server is unavailable. "
    "Servers are found by RUNYARD_ENDPOINTS=registry=host:port,… or --endpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        # It knows of databases and everything else that a server needs.
        from services.chassis.service import distribution_version  # noqa: PLC0415

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


app.command()(up.up)
app.command()(serve.serve)
app.command("check-config")(serve.check_config)
app.command()(migrate.migrate)
app.command()(doctor.doctor)
app.command()(apply.apply)
app.command()(get.get)
app.command()(get.describe)
app.command()(delete.delete)
app.command()(export.export)
app.command()(export.validate)
app.command()(history.diff)
app.command()(history.versions)
app.command()(history.rollback)
app.command()(audit.audit)
app.add_typer(providers.provider_app, name="provider")
app.command()(schema.schema)
app.command()(infer.infer)
app.command("run")(runs.run_agent)
app.add_typer(pools.pool_app, name="pool")
app.add_typer(runs.watch_app, name="watch")
runs.watch_app.command("registry")(watching.watch_registry)
app.add_typer(tokens.token_app, name="token")
app.command()(tickets.tickets)
app.command()(tickets.decide)
app.command()(trace.trace)
app.command()(demo.demo)


def main() -> int:
    """Run the command line; answer the exit code."""
    try:
        app(prog_name="runyard")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
