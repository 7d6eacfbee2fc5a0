"""``runyard diff``: two versions, or files and the registry, field by field."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.exits import CliError
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.registry.applying import ApplyOptions, apply_files
from services.cli.registry.changes import counted, show_changes
from services.cli.registry.history import newest
from services.cli.registry.options import MarkOption, ModeName, ModeOption, PruneOption
from services.cli.talk.clients import Clients
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, OptionalFilesOption, OutputOption
from services.cli.talk.paging import PAGE_SIZE, pages


def diff(
    from_version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="FROM", help="The older side; the last but one."),
    ] = None,
    to_version: Annotated[
        int | None, typer.Argument(min=1, metavar="TO", help="The newer side; the current one.")
    ] = None,
    files: OptionalFilesOption = None,
    apply_set: MarkOption = "",
    prune: PruneOption = False,
    mode: ModeOption = ModeName.UPSERT,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show field by field what differs between two versions, or what applying files would change.

    Without anything: what the newest version changed. With -f it is the plan of apply --dry-run.

    Examples: runyard diff 12 15

    runyard diff -f team.yaml --set team --prune
    """
    if files and from_version is not None:
        raise typer.BadParameter("name versions, or files with -f")
    options = ApplyOptions(apply_set, prune, mode, dry_run=True)

    async def work(terminal: Terminal) -> None:
        if files:
            await apply_files(files, options, endpoint, terminal)
            return
        async with clients("diff", endpoint) as stubs:
            await _show_versions(stubs, from_version, to_version, terminal)

    run(output, work)


async def _show_versions(
    stubs: Clients, from_version: int | None, to_version: int | None, terminal: Terminal
) -> None:
    older = await _one_before_newest(stubs) if from_version is None else from_version
    request = pb.DiffVersionsRequest(from_version=older, to_version=to_version, page_size=PAGE_SIZE)
    answer = pb.DiffVersionsResponse()
    async for page in pages(stubs, "registry", stubs.registry.DiffVersions, request):
        answer.changes.extend(page.changes)
        answer.to_version = page.to_version
    show_changes(answer.changes, terminal)
    terminal.line(f"{counted(answer.changes)} from version {older} to {answer.to_version}")
    terminal.data({"from_version": str(older), **as_json(answer)})


async def _one_before_newest(stubs: Clients) -> int:
    listed, _ = await newest(stubs, 2)
    if len(listed) == 1:
        raise CliError(f"only version {listed[0].version} is kept", reason="NOTHING_TO_COMPARE")
    return listed[1].version
