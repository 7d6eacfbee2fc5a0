"""``runyard apply``: manifests into the registry, as one version."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.base.terminal import Output
from services.cli.registry.applying import ApplyOptions, apply_files
from services.cli.registry.options import (
    ExpectedVersionOption,
    MarkOption,
    ModeName,
    ModeOption,
    PruneOption,
)
from services.cli.talk.command import run
from services.cli.talk.options import EndpointOption, FilesOption, OutputOption


def apply(
    files: FilesOption,
    *,
    apply_set: MarkOption = "",
    prune: PruneOption = False,
    mode: ModeOption = ModeName.UPSERT,
    expected_version: ExpectedVersionOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Prune even if the files hold nothing: all of the set."),
    ] = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create, update and with --prune remove resources: all of them in one version, or none.

    A manifest is YAML, one document per resource: kind, id and spec, whose fields are those of the
    contract. Errors name file, line and field, all of them in one go. Nothing is asked: --dry-run
    shows the plan.

    Examples: runyard apply -f examples/quickstart --dry-run

    runyard apply -f team.yaml --set team --prune
    """
    options = ApplyOptions(apply_set, prune, mode, expected_version, dry_run, allow_empty)
    run(output, lambda terminal: apply_files(files, options, endpoint, terminal))
