"""Options and arguments that several commands about the registry have, declared once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.registry.completion import complete_ids, complete_kinds, complete_provider_ids

KindArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="Kind of resource: provider, model, pool, agent, tool; or KIND/ID.",
        autocompletion=complete_kinds,
    ),
]
IdArguments = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids.", autocompletion=complete_ids)
]
ProviderArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The provider.", autocompletion=complete_provider_ids)
]
SetOption = Annotated[
    str, typer.Option("--set", metavar="NAME", help="Only what was applied with this set.")
]
ExpectedVersionOption = Annotated[
    int | None,
    typer.Option(
        "--expected-version",
        min=1,
        metavar="N",
        help="Refuse unless this registry version is the current one.",
    ),
]


class ModeName(StrEnum):
    """What an apply may do."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


MarkOption = Annotated[
    str,
    typer.Option("--set", metavar="NAME", help="Name the set that these resources make up."),
]


PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="Remove what carries the set and is not in the files any more."),
]


ModeOption = Annotated[
    ModeName,
    typer.Option(
        "--mode", help="create refuses what exists, update what does not, upsert neither."
    ),
]
