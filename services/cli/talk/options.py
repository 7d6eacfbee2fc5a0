"""Options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.base.terminal import Form, Output

DEFAULT_DATA = Path(".runyard")

OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="The answer: text for people, json for programs."),
]
FormOption = Annotated[
    Form,
    typer.Option(
        "--output",
        "-o",
        help="The answer: text for people, json for programs, yaml to apply again.",
    ),
]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="SERVICE=HOST:PORT",
        help="Where a server is; may be repeated. Wins over RUNYARD_ENDPOINTS.",
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data", envvar="RUNYARD_DATA", help="Folder of databases, logs and traces.", metavar="DIR"
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Show every event, also what passes within 100 ms."),
]
MinVersionOption = Annotated[
    int,
    typer.Option(
        "--min-version",
        min=0,
        metavar="N",
        help="Wait for this registry version, as apply answers it; 0 takes what is there.",
    ),
]
MinIncarnationOption = Annotated[
    str,
    typer.Option(
        "--min-incarnation",
        metavar="ID",
        help="The registry's incarnation that --min-version was counted in, as apply answers it.",
    ),
]
FilesOption = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE", help="Manifest, folder of them, or - for standard input"
    ),
]
OptionalFilesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="Manifest, folder of them, or - for standard input"
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=0, metavar="N", help="At most this many; 0 for all.")
]
