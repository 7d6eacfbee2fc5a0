"""``runyard delete``: resources out of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.kinds import (
    AGENT,
    BY_MANIFEST,
    MODEL,
    POOL,
    PROVIDER,
    TOOL,
    Kind,
    kind_and_ids,
)
from services.cli.manifests.resources import read_manifests
from services.cli.registry.completion import complete_kinds
from services.cli.registry.options import ExpectedVersionOption, IdArguments
from services.cli.registry.reading import referrers
from services.cli.registry.validation import Validation
from services.cli.runs.deletion import delete_threads, ids_of
from services.cli.talk.clients import Clients
from services.cli.talk.command import clients, new_request_id, run
from services.cli.talk.options import EndpointOption, OptionalFilesOption, OutputOption

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
    files: OptionalFilesOption = None,
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete resources, by their ids or all of some files, those that refer to others first;
    or threads.

    One version each. What something else refers to stays, and everything that does is listed; the
    rest goes. What a file names and is not there is no error. Nothing is asked. With a thread goes
    everything that its runs have left; those that are not done are cancelled.

    Examples: runyard delete agent scout

    runyard delete thread 0197c5a2-7d1e-7c4e-9a53-3f6f7b1a2c3d

    runyard delete -f examples/quickstart
    """

    async def work(terminal: Terminal) -> None:
        if threads := ids_of(kind, ids or (), "thread", "threads"):
            async with clients("delete", endpoint) as stubs:
                await delete_threads(stubs, threads, terminal)
            return
        targets = _targets(kind, ids or (), files or ())
        async with clients("delete", endpoint) as stubs:
            deleting = _Deleting(stubs, expected_version, lenient=bool(files))
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
        refusal = Validation(manifests.problems).refusal()
        refusal.message = f"{len(manifests.problems)} problem(s) in the manifests; nothing is gone"
        raise refusal
    named = [(BY_MANIFEST[document.kind], document.id) for document in manifests.documents]
    return sorted(named, key=lambda one: _ORDER.index(one[0]))


class _Deleting:
    """Several deletions, of which some may be refused."""

    def __init__(self, stubs: Clients, expected_version: int | None, *, lenient: bool) -> None:
        self._stubs = stubs
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
            answer = await self._stubs.call(
                "registry", self._stubs.registry.DeleteResource, request
            )
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
        terminal.data({"deleted": name, **as_json(answer)})

    async def _in_use(self, error: CliError, target: Named) -> CliError:
        """``error`` with everything that refers to the target, however much that is."""
        kind, id_ = target
        try:
            users = await referrers(self._stubs, kind, id_)
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
            facts=error.facts,
        )

    def raise_for_kept(self) -> None:
        """Raise one error for everything that was not deleted, if there is something."""
        if len(self._kept) > 1:
            first = self._kept[0]
            details = tuple(
                line for error in self._kept for line in (error.details or (error.message,))
            )
            message = f"{len(self._kept)} resources were not deleted"
            raise CliError(
                message,
                reason=first.reason,
                hint=first.hint,
                details=details,
                facts=first.facts,
            )
        if self._kept:
            raise self._kept[0]
