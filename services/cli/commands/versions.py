"""``runyard versions``, ``diff`` and ``rollback``: what the registry was."""

from __future__ import annotations

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.messages import as_json, moment
from services.cli.base.terminal import Output, Terminal
from services.cli.registry.history import newest
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, LimitOption, OutputOption

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
        async with clients("versions", endpoint) as stubs:
            listed, more = await newest(stubs, limit)
        terminal.table(_COLUMNS, [_row(version) for version in listed])
        if more:
            terminal.note("there are older ones; --limit 0 shows all")
        terminal.data(
            {
                "versions": [as_json(v) for v in listed],
                "more": more,
            }
        )

    run(output, work)


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
