"""``runyard get`` and ``describe``: what is in the registry."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.cli.clients import Clients
from services.cli.command import clients, run
from services.cli.completion import complete_kinds
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.kinds import Kind, id_of, kind_and_ids, kind_of
from services.cli.options import (
    EndpointOption,
    FormOption,
    IdArguments,
    KindArgument,
    LimitOption,
    OutputOption,
    SetOption,
)
from services.cli.reading import one, pages, referrers
from services.cli.summaries import moment, summary
from services.cli.terminal import Form, Output, Terminal
from services.cli.written import manifest_text

_PAGE = 1000
_COLUMNS = ("KIND", "ID", "WHAT", "SET", "VERSION", "UPDATED")


def get(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="Kind: provider, model, pool, agent, tool; or KIND/ID. All without it.",
            autocompletion=complete_kinds,
        ),
    ] = None,
    ids: IdArguments = None,
    apply_set: SetOption = "",
    limit: LimitOption = 0,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List resources, or some by their ids: kind, id, what each is, set, version, last change.

    Examples: runyard get

    runyard get pools --set team

    runyard get agent scout analyst -o json
    """

    async def work(terminal: Terminal) -> None:
        of, wanted = kind_and_ids(kind, ids or ()) if kind else (None, [])
        async with clients("get", endpoint) as found:
            if of is not None and wanted:
                answer = await _by_id(found, of, wanted)
            else:
                answer = await _listed(found, of, apply_set, limit)
        _show(answer, terminal)

    run(output, work)


def describe(
    kind: KindArgument,
    ids: IdArguments = None,
    endpoint: EndpointOption = None,
    form: FormOption = Form.TEXT,
) -> None:
    """Show resources in full, with what the registry filled in, and who refers to them.

    Examples: runyard describe pool narration

    runyard describe agent scout -o yaml
    """

    async def work(terminal: Terminal) -> None:
        of, wanted = kind_and_ids(kind, ids or ())
        if not wanted:
            raise CliError(
                "name at least one id: runyard describe KIND ID",
                reason="USAGE",
                exit_code=EXIT_USAGE,
            )
        async with clients("describe", endpoint) as found:
            answer = await _by_id(found, of, wanted)
            asked = answer.resources if form is not Form.YAML else ()
            used_by = [await referrers(found, of, id_of(each)) for each in asked]
        if form is Form.YAML:
            terminal.verbatim(manifest_text(answer.resources, full=True))
            return
        for resource, users in zip(answer.resources, used_by, strict=True):
            _describe(resource, users, terminal)

    run(form.output, work)


async def _by_id(found: Clients, kind: Kind, ids: list[str]) -> service_pb.ListResourcesResponse:
    """Each of them.

    Raises:
        CliError: Names every one that is not there.
    """
    answer = service_pb.ListResourcesResponse()
    missing: list[CliError] = []
    for id_ in ids:
        try:
            read = await one(found, kind, id_)
        except CliError as error:
            if error.reason != "RESOURCE_NOT_FOUND":
                raise
            missing.append(error)
            continue
        answer.resources.append(read.resource)
        answer.version = read.version
    if len(missing) > 1:
        missing[0].message = f"{len(missing)} resources not found"
        missing[0].details = tuple(f"{kind.member}/{id_}" for id_ in _absent(answer, ids))
    if missing:
        raise missing[0]
    return answer


def _absent(answer: service_pb.ListResourcesResponse, ids: list[str]) -> list[str]:
    there = set(map(id_of, answer.resources))
    return [id_ for id_ in ids if id_ not in there]


async def _listed(
    found: Clients, kind: Kind | None, apply_set: str, limit: int
) -> service_pb.ListResourcesResponse:
    """All of a listing as one answer; its token is set when ``limit`` left some out."""
    answer = service_pb.ListResourcesResponse()
    async for page in pages(found, kind, apply_set, min(limit, _PAGE) or _PAGE):
        room = limit - len(answer.resources) if limit else len(page.resources)
        answer.resources.extend(page.resources[:room])
        answer.version = page.version
        if limit and len(answer.resources) == limit:
            rest = len(page.resources) > room
            answer.next_page_token = "more" if rest else page.next_page_token
            break
    return answer


def _show(answer: service_pb.ListResourcesResponse, terminal: Terminal) -> None:
    rows = [
        (
            getattr(kind_of(resource), "member", "?"),
            id_of(resource),
            summary(resource),
            resource.meta.apply_set,
            str(resource.meta.since_version),
            moment(resource.meta.update_time),
        )
        for resource in answer.resources
    ]
    if rows:
        terminal.table(_COLUMNS, rows)
    else:
        terminal.note("nothing found")
    if answer.next_page_token:
        terminal.note("there are more; --limit 0 shows all")
    terminal.data(
        {
            "resources": [_json(resource) for resource in answer.resources],
            "version": str(answer.version),
            "more": bool(answer.next_page_token),
        }
    )


def _describe(resource: pb.Resource, used_by: list[str], terminal: Terminal) -> None:
    meta = resource.meta
    terminal.data({"resource": _json(resource), "used_by": used_by})
    facts = {
        "what": summary(resource),
        "set": meta.apply_set,
        "version": str(meta.since_version),
        "updated": f"{moment(meta.update_time)} by {meta.updated_by or 'nobody known'}",
        "hash": meta.content_hash,
    }
    kind = kind_of(resource)
    terminal.line((f"{kind.member if kind else '?'}/{id_of(resource)}", "bold"))
    for name, value in facts.items():
        if value:
            terminal.line((f"  {name:<9}", "dim"), value)
    for number, user in enumerate(used_by):
        terminal.line(("  used by  " if not number else " " * 11, "dim"), user)
    terminal.line()
    for line in manifest_text([resource], full=True).splitlines():
        terminal.line("  ", line)


def _json(resource: pb.Resource) -> Any:
    return MessageToDict(resource, preserving_proto_field_name=True)
