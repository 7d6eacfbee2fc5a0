"""``runyard get`` and ``describe``: what is in the registry."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.cli.base.messages import as_json, moment
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.kinds import Kind, id_of, kind_and_ids, kind_of
from services.cli.registry.completion import complete_kinds
from services.cli.registry.options import IdArguments, SetOption
from services.cli.registry.reading import by_ids, listing
from services.cli.registry.summaries import summary
from services.cli.talk.clients import Clients
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, LimitOption, OutputOption
from services.cli.talk.paging import page_size

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
        async with clients("get", endpoint) as stubs:
            if of is not None and wanted:
                answer = await by_ids(stubs, of, wanted)
            else:
                answer = await _listed(stubs, of, apply_set, limit)
        _show(answer, terminal)

    run(output, work)


async def _listed(
    stubs: Clients, kind: Kind | None, apply_set: str, limit: int
) -> service_pb.ListResourcesResponse:
    """All of a listing as one answer; its token is set when ``limit`` left some out."""
    answer = service_pb.ListResourcesResponse()
    async for page in listing(stubs, kind, apply_set, page_size(limit)):
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
        terminal.table(_COLUMNS, rows, wrapping="WHAT")
    else:
        terminal.note("nothing found")
    if answer.next_page_token:
        terminal.note("there are more; --limit 0 shows all")
    terminal.data(
        {
            "resources": [as_json(resource) for resource in answer.resources],
            "version": str(answer.version),
            "more": bool(answer.next_page_token),
        }
    )
