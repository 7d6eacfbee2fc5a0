"""``runyard delete``: resources out of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.apply import read_manifests
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.command import clients, new_request_id, run
from services.cli.completion import complete_kinds
from services.cli.examining import Examined
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.kinds import AGENT, BY_MANIFEST, MODEL, POOL, PROVIDER, TOOL, Kind, kind_and_ids
from services.cli.options import (
    EndpointOption,
    ExpectedVersionOption,
    IdArguments,
    MaybeFilesOption,
    OutputOption,
)
from services.cli.reading import referrers
from services.cli.terminal import Output, Terminal

Named = tuple[Kind, str]

# Each refers to those behind it only.
_ORDER = (AGENT, TOOL, POOL, MODEL, PROVIDER)


def delete(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="Kind of resource, or KIND/ID.", autocompletion=complete_kinds
        ),
    ] = None,
    ids: IdArguments = None,
    files: MaybeFilesOption = None,
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete resources, by their ids or all of some files, those that refer to others first.

    One version each. What something else refers to stays, and everything that does is listed; the
    rest goes. What a file names and is not there is no error. Nothing is asked.

    Examples: runyard delete agent scout

    runyard delete -f examples/quickstart
    """

    async def work(terminal: Terminal) -> None:
        targets = _targets(kind, ids or (), files or ())
        async with clients("delete", endpoint) as found:
            deleting = _Deleting(found, expected_version, lenient=bool(files))
            for target in targets:
                await deleting.delete(target, terminal)
        deleting.raise_for_kept()

    run(output, work)


def _targets(kind: str | None, ids: Sequence[str], files: Sequence[str]) -> list[Named]:
    of, wanted = kind_and_ids(kind, ids) if kind else (None, [])
    if bool(wanted) == bool(files):
        raise CliError("name KIND and ID, or files with -f", reason="USAGE", exit_code=EXIT_USAGE)
    if of is not None and wanted:
        return [(of, id_) for id_ in wanted]
    manifests = read_manifests(files)
    if manifests.problems:
        refusal = Examined(manifests.problems).refusal()
        refusal.message = f"{len(manifests.problems)} problem(s) in the manifests; nothing is gone"
        raise refusal
    named = [(BY_MANIFEST[document.kind], document.id) for document in manifests.documents]
    return sorted(named, key=lambda one: _ORDER.index(one[0]))


class _Deleting:
    """Several deletions, of which some may be refused."""

    def __init__(self, found: Clients, expected_version: int | None, *, lenient: bool) -> None:
        self._found = found
        self._expected = expected_version
        self._lenient = lenient
        self._kept: list[CliError] = []

    async def delete(self, target: Named, terminal: Terminal) -> None:
        kind, id_ = target
        name = f"{kind.member}/{id_}"
        request = pb.DeleteResourceRequest(
            kind=kind.number,
            id=id_,
            expected_version=self._expected,
            request_id=new_request_id(),
        )
        try:
            with self._found.talking_to("registry"):
                answer = await self._found.registry.DeleteResource(request, timeout=CALL_TIMEOUT_S)
        except CliError as error:
            if error.reason == "RESOURCE_NOT_FOUND" and self._lenient:
                terminal.line("  ", (f"= {name}", "dim"), " is not there")
            elif error.reason == "RESOURCE_IN_USE":
                self._kept.append(await self._in_use(error, target))
            elif error.reason == "RESOURCE_NOT_FOUND":
                self._kept.append(error)
            else:
                raise
            return
        if self._expected is not None:
            self._expected = answer.version
        terminal.line("  ", (f"- {name}", "red"), f" removed; version {answer.version}")
        terminal.data({"deleted": name, **_json(answer)})

    async def _in_use(self, error: CliError, target: Named) -> CliError:
        """``error`` with everything that refers to the target, however much that is."""
        kind, id_ = target
        try:
            users = await referrers(self._found, kind, id_)
        except CliError:
            users = list(error.details)
        hint = "delete what uses it first, or let it use something else: runyard apply"
        if kind is PROVIDER:
            hint = f"see what may go with it: runyard provider preview-remove {id_}"
        return CliError(
            f"{kind.member}/{id_} stays: {len(users)} resource(s) use it",
            reason=error.reason,
            hint=hint,
            details=tuple(f"{user} uses {kind.member}/{id_}" for user in users),
        )

    def raise_for_kept(self) -> None:
        """Raise one error for everything that was not deleted, if there is something."""
        if len(self._kept) > 1:
            first = self._kept[0]
            details = tuple(
                line for error in self._kept for line in (error.details or (error.message,))
            )
            message = f"{len(self._kept)} resources were not deleted"
            raise CliError(message, reason=first.reason, hint=first.hint, details=details)
        if self._kept:
            raise self._kept[0]


def _json(answer: pb.DeleteResourceResponse) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(answer, preserving_proto_field_name=True)
    return found
