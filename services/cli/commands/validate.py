"""``runyard validate``: manifests checked, as one list of problems."""

from __future__ import annotations

import typer

from services.cli.base.exits import EXIT_USAGE
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.documents import Problem
from services.cli.manifests.resources import read_manifests
from services.cli.registry.validation import Validation, validate_manifests
from services.cli.registry.warnings import show_warnings
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, FilesOption, OutputOption


def validate(
    files: FilesOption,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check manifests against the contract and against the registry, and list every problem.

    A problem is a line, FILE:LINE: FIELD: WHAT; what is accepted and may be a mistake is a warning
    on standard error. Exit code 0 when applying would succeed, 2 when it would not, 3 when the
    files are fine and the registry could not be asked.

    Example: runyard validate -f examples/quickstart
    """

    async def work(terminal: Terminal) -> None:
        manifests = read_manifests(files)
        async with clients("validate", endpoint) as stubs:
            answer = await validate_manifests(stubs, manifests)
        _show(answer, len(manifests.documents), terminal)
        if answer.problems:
            raise typer.Exit(EXIT_USAGE)
        if answer.registry_error is not None:
            raise answer.registry_error

    run(output, work)


def _show(answer: Validation, documents: int, terminal: Terminal) -> None:
    for problem in answer.problems:
        terminal.line(str(problem))
    show_warnings(answer.warnings, answer.warnings_omitted, terminal)
    if answer.problems and answer.registry_error is not None:
        terminal.note(f"the registry may know of more: {answer.registry_error.message}")
    if answer.problems:
        terminal.note(f"{len(answer.problems)} problem(s)")
    elif answer.registry_error is None:
        against = f" at version {answer.version}" if answer.version else ""
        terminal.line(f"{documents} resource(s) can be applied{against}")
    terminal.data(
        {
            "problems": list(map(_as_json, answer.problems)),
            "warnings": list(map(_as_json, answer.warnings)),
            "warnings_omitted": answer.warnings_omitted,
            "asked_registry": answer.registry_error is None,
        }
    )


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "resource": problem.about,
        "field": problem.field,
        "message": problem.message,
    }
