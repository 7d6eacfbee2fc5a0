"""``runyard versions``, ``diff`` and ``rollback``: what the registry was."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.apply import MarkOption, ModeName, ModeOption, PruneOption, Wish, apply_files
from services.cli.changes import counted, show_changes
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.command import clients, new_request_id, run
from services.cli.exits import CliError
from services.cli.options import (
    EndpointOption,
    ExpectedVersionOption,
    LimitOption,
    MaybeFilesOption,
    OutputOption,
)
from services.cli.summaries import moment
from services.cli.terminal import Output, Terminal

_PAGE = 1000
_COLUMNS = ("VERSION", "TIME", "BY", "CHANGES", "CALL", "CONTENT")
_SHOWN_HASH_CHARS = 12


def versions(
    limit: LimitOption = 20,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the versions that are kept, newest first.

    Two versions with the same content have the same hash.

    Example: runyard versions --limit 5
    """

    async def work(terminal: Terminal) -> None:
        async with clients("versions", endpoint) as found:
            listed, more = await newest(found, limit)
        terminal.table(_COLUMNS, [_row(version) for version in listed])
        if more:
            terminal.note("there are older ones; --limit 0 shows all")
        terminal.data(
            {
                "versions": [MessageToDict(v, preserving_proto_field_name=True) for v in listed],
                "more": more,
            }
        )

    run(output, work)


async def newest(found: Clients, limit: int) -> tuple[list[pb.SnapshotVersion], bool]:
    """The newest versions, all of them with 0, and whether there are more."""
    listed: list[pb.SnapshotVersion] = []
    request = pb.ListVersionsRequest(page_size=min(limit, _PAGE) or _PAGE)
    while True:
        with found.talking_to("registry"):
            page = await found.registry.ListVersions(request, timeout=CALL_TIMEOUT_S)
        listed += page.versions
        if not page.next_page_token or (limit and len(listed) >= limit):
            more = bool(page.next_page_token) or (limit and len(listed) > limit)
            return listed[: limit or None], bool(more)
        request.page_token = page.next_page_token


def _row(version: pb.SnapshotVersion) -> tuple[str, ...]:
    call = version.method.rpartition("/")[2].rpartition(".")[2]
    if version.HasField("restored_from"):
        call = f"{call} of {version.restored_from}"
    return (
        str(version.version),
        moment(version.create_time),
        version.created_by,
        str(version.change_count),
        call,
        version.content_hash[:_SHOWN_HASH_CHARS],
    )


def diff(
    from_version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="FROM", help="The older side; the last but one."),
    ] = None,
    to_version: Annotated[
        int | None, typer.Argument(min=1, metavar="TO", help="The newer side; the current one.")
    ] = None,
    files: MaybeFilesOption = None,
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
    wish = Wish(apply_set, prune, mode, dry_run=True)

    async def work(terminal: Terminal) -> None:
        if files:
            await apply_files(files, wish, endpoint, terminal)
            return
        async with clients("diff", endpoint) as found:
            await _show_versions(found, from_version, to_version, terminal)

    run(output, work)


async def _show_versions(
    found: Clients, from_version: int | None, to_version: int | None, terminal: Terminal
) -> None:
    older = await _one_before_newest(found) if from_version is None else from_version
    request = pb.DiffVersionsRequest(from_version=older, to_version=to_version, page_size=_PAGE)
    answer = pb.DiffVersionsResponse()
    while True:
        with found.talking_to("registry"):
            page = await found.registry.DiffVersions(request, timeout=CALL_TIMEOUT_S)
        answer.changes.extend(page.changes)
        answer.to_version = page.to_version
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    show_changes(answer.changes, terminal)
    terminal.line(f"{counted(answer.changes)} from version {older} to {answer.to_version}")
    terminal.data({"from_version": str(older), **_json(answer)})


async def _one_before_newest(found: Clients) -> int:
    listed, _ = await newest(found, 2)
    if len(listed) == 1:
        raise CliError(f"only version {listed[0].version} is kept", reason="NOTHING_TO_COMPARE")
    return listed[1].version


def rollback(
    version: Annotated[int, typer.Argument(min=1, help="The version to restore.")],
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Publish the content of an old version as a new one; what came after stays in the history.

    Example: runyard rollback 12 --expected-version 15
    """

    async def work(terminal: Terminal) -> None:
        request = pb.RollbackRequest(
            version=version, expected_version=expected_version, request_id=new_request_id()
        )
        async with clients("rollback", endpoint) as found:
            with found.talking_to("registry"):
                answer = await found.registry.Rollback(request, timeout=CALL_TIMEOUT_S)
        show_changes(answer.changes, terminal)
        terminal.line(
            f"{counted(answer.changes)}; the registry has the content of version {version} at ",
            (f"version {answer.version}", "bold"),
        )
        terminal.data(_json(answer))

    run(output, work)


def _json(answer: pb.DiffVersionsResponse | pb.RollbackResponse) -> dict[str, object]:
    found: dict[str, object] = MessageToDict(answer, preserving_proto_field_name=True)
    return found
