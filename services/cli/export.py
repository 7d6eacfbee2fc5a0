"""``runyard export`` and ``validate``: manifests out of the registry, and manifests checked."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli.apply import read_manifests
from services.cli.command import clients, run
from services.cli.completion import complete_kinds
from services.cli.examining import Examined, examined
from services.cli.exits import EXIT_USAGE
from services.cli.kinds import kind_named
from services.cli.options import EndpointOption, FilesOption, FormOption, OutputOption, SetOption
from services.cli.reading import marked, only, snapshot
from services.cli.terminal import Form, Output, Terminal
from services.cli.written import manifest_text


def export(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help="Only these kinds, provider, model, pool, agent or tool; all without them.",
            autocompletion=complete_kinds,
        ),
    ] = None,
    apply_set: SetOption = "",
    full: Annotated[
        bool, typer.Option("--full", help="Write what the registry filled in by itself, too.")
    ] = False,
    endpoint: EndpointOption = None,
    form: FormOption = Form.YAML,
) -> None:
    """Write the registry as manifests, all of one version; applying them changes nothing.

    By kind and id, so that two exports can be compared. What the registry would fill in anyway is
    left out.

    Examples: runyard export > everything.yaml

    runyard export agents --set team | runyard apply -f - --dry-run
    """

    async def work(terminal: Terminal) -> None:
        wanted = [kind_named(name) for name in kinds or ()]
        async with clients("export", endpoint) as found:
            read = marked(found, apply_set) if apply_set else snapshot(found)
            everything, version = await read
        resources = only(everything, wanted)
        terminal.verbatim(manifest_text(resources, full=full))
        if not resources:
            terminal.note("nothing found")
        told = [MessageToDict(one, preserving_proto_field_name=True) for one in resources]
        terminal.data({"resources": told, "version": str(version)})

    run(form.output, work)


def validate(
    files: FilesOption,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check manifests against the contract and against the registry, and list every problem.

    A problem is a line, FILE:LINE: FIELD: WHAT. Exit code 0 when applying would succeed, 2 when it
    would not, 3 when the files are fine and the registry could not be asked.

    Example: runyard validate -f examples/quickstart
    """

    async def work(terminal: Terminal) -> None:
        manifests = read_manifests(files)
        async with clients("validate", endpoint) as found:
            answer = await examined(found, manifests)
        _show(answer, len(manifests.documents), terminal)
        if answer.problems:
            raise typer.Exit(EXIT_USAGE)
        if answer.unasked is not None:
            raise answer.unasked

    run(output, work)


def _show(answer: Examined, documents: int, terminal: Terminal) -> None:
    for problem in answer.problems:
        terminal.line(str(problem))
    if answer.problems and answer.unasked is not None:
        terminal.note(f"the registry may know of more: {answer.unasked.message}")
    if answer.problems:
        terminal.note(f"{len(answer.problems)} problem(s)")
    elif answer.unasked is None:
        against = f" at version {answer.version}" if answer.version else ""
        terminal.line(f"{documents} resource(s) can be applied{against}")
    terminal.data(
        {
            "problems": [
                {
                    "file": problem.file,
                    "line": problem.line,
                    "resource": problem.about,
                    "field": problem.field,
                    "message": problem.message,
                }
                for problem in answer.problems
            ],
            "asked_registry": answer.unasked is None,
        }
    )
