"""``runyard audit``: who changed what in the registry."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json, moment, short_name
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.kinds import kind_and_ids, named
from services.cli.registry.completion import complete_ids, complete_kinds
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, LimitOption, OutputOption
from services.cli.talk.paging import first, page_size, pages

_COLUMNS = ("TIME", "BY", "VERSION", "ACTION", "RESOURCE", "CALL")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def audit(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="Only about this kind, or KIND/ID.",
            autocompletion=complete_kinds,
        ),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Only about this id.", autocompletion=complete_ids),
    ] = None,
    actor: Annotated[str, typer.Option("--by", metavar="NAME", help="Only by this one.")] = "",
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="Not before: 2026-01-31, with a time, or 2h ago as 2h."),
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Before this, written alike.")] = "",
    limit: LimitOption = 50,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List who changed what and when, newest first, with the content before and after in json.

    Examples: runyard audit --since 2h

    runyard audit agent scout --by ann -o json
    """

    async def work(terminal: Terminal) -> None:
        of, ids = kind_and_ids(kind, [id_] if id_ else ()) if kind else (None, [])
        request = pb.ListAuditEntriesRequest(
            kind=of.number if of else None,
            id=ids[0] if ids else "",
            actor=actor,
            page_size=page_size(limit),
        )
        now = datetime.now(UTC)
        if since:
            request.since.FromDatetime(moment_of(since, now))
        if until:
            request.until.FromDatetime(moment_of(until, now))
        async with clients("audit", endpoint) as stubs:
            listing = pages(stubs, "registry", stubs.registry.ListAuditEntries, request)
            entries, more = await first(limit, listing, lambda page: page.entries)
        terminal.table(_COLUMNS, [_row(entry) for entry in entries])
        if more:
            terminal.note("there are older ones; --limit 0 shows all")
        listed = [as_json(entry) for entry in entries]
        terminal.data({"entries": listed, "more": more})

    run(output, work)


def _row(entry: pb.AuditEntry) -> tuple[str, ...]:
    return (
        moment(entry.time),
        entry.actor,
        str(entry.version),
        short_name(pb.ChangeAction.DESCRIPTOR, entry.action),
        named(entry.ref),
        entry.method.rpartition("/")[2].rpartition(".")[2],
    )


def moment_of(text: str, now: datetime) -> datetime:
    """``2026-01-31``, ``2026-01-31T12:00:00+01:00``, or ``2h`` before ``now``; UTC without a zone.

    Raises:
        CliError: Neither of them.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
        moment_ = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CliError(
            f"{text!r} is no time: write 2026-01-31, 2026-01-31T12:00:00Z or 2h",
            reason="USAGE",
            exit_code=EXIT_USAGE,
        ) from None
    return moment_ if moment_.tzinfo else moment_.replace(tzinfo=UTC)
