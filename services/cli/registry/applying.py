"""Apply manifests: all of them in one version, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import typer

from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json
from services.cli.base.terminal import Terminal
from services.cli.manifests.resources import Manifests, read_manifests
from services.cli.registry.changes import counted, show_changes
from services.cli.registry.options import ModeName
from services.cli.registry.size import IN_PARTS, refuse_too_large
from services.cli.registry.validation import validate_manifests
from services.cli.registry.warnings import located_warnings, show_warnings
from services.cli.talk.clients import CALL_TIMEOUT_S, Clients
from services.cli.talk.command import clients, new_request_id


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """What is to be done with manifests, beside what stands in them."""

    apply_set: str = ""
    prune: bool = False
    mode: ModeName = ModeName.UPSERT
    expected_version: int | None = None
    dry_run: bool = False
    allow_empty: bool = False

    def __post_init__(self) -> None:
        if self.prune and not self.apply_set:
            raise typer.BadParameter("--prune needs --set NAME")

    def refuse_empty(self, manifests: Manifests) -> None:
        """A generator that failed writes an empty file, and a prune would remove the whole set.

        Raises:
            CliError: There is nothing to apply, or nobody said that a prune is meant.
        """
        if manifests.resources:
            return
        if not self.prune:
            raise CliError(
                "the files hold no resource; nothing was applied",
                reason="NO_MANIFESTS",
                hint="a resource is a document of kind, id and spec: runyard schema",
                exit_code=EXIT_USAGE,
            )
        if not (self.allow_empty or self.dry_run):
            raise CliError(
                f"the files hold no resource: --prune would remove all of set {self.apply_set!r}",
                reason="NO_MANIFESTS",
                hint="if that is what you want, add --allow-empty; to see what would go, --dry-run",
                exit_code=EXIT_USAGE,
            )

    def request(self, manifests: Manifests) -> pb.ApplyResourcesRequest:
        return pb.ApplyResourcesRequest(
            resources=manifests.resources,
            mode=f"APPLY_MODE_{self.mode.name}",
            apply_set=self.apply_set,
            prune=self.prune,
            dry_run=self.dry_run,
            expected_version=self.expected_version,
            request_id=new_request_id(),
        )


async def apply_files(
    files: Sequence[str], options: ApplyOptions, endpoint: list[str] | None, terminal: Terminal
) -> None:
    """Apply them and show what that did, or would do.

    Raises:
        CliError: Something is wrong with them, or the registry refuses.
    """
    manifests = read_manifests(files)
    if not manifests.problems:
        options.refuse_empty(manifests)
    async with clients("apply", endpoint) as stubs:
        if manifests.problems:
            raise (await validate_manifests(stubs, manifests)).refusal()
        answer = await apply_resources(stubs, manifests, options)
    show_applied(answer, terminal, options.dry_run)
    warnings = located_warnings(manifests, answer.warnings)
    show_warnings(warnings, answer.warnings_omitted, terminal)


async def apply_resources(
    stubs: Clients, manifests: Manifests, options: ApplyOptions | None = None
) -> pb.ApplyResourcesResponse:
    """Apply them.

    Raises:
        CliError: The registry refuses; violations are led back to their lines.
    """
    request = (options or ApplyOptions()).request(manifests)
    refuse_too_large(request)
    try:
        return await stubs.registry.ApplyResources(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        refusal = await stubs.explained("registry", error)
        raise await _located(refusal, reason_of(error), manifests, stubs) from error


async def _located(
    refusal: CliError, facts: ErrorFacts, manifests: Manifests, stubs: Clients
) -> CliError:
    """``refusal`` with every violation at its line, however many there are."""
    located = manifests.locate_all(facts.violations)
    if not facts.reason and "larger than max" in facts.message:
        refusal.message = "the manifests are larger than the registry takes at once"
        refusal.hint, refusal.exit_code = IN_PARTS, EXIT_USAGE
    if not located:
        return refusal
    omitted = int(facts.metadata.get("violations_omitted", "0"))
    if omitted:
        # An error has room for a few only; an answer has room for all.
        more = (await validate_manifests(stubs, manifests)).problems
        omitted = max(0, len(located) + omitted - len(more))
        located = more if len(more) > len(located) else located
    if any(one.field == "resources" for one in located):
        refusal.hint = IN_PARTS
    lines = tuple(map(str, located))
    refusal.message = f"{len(lines) + omitted} problem(s); nothing was applied"
    refusal.details = (*lines, f"and {omitted} more") if omitted else lines
    return refusal


def show_applied(
    response: pb.ApplyResourcesResponse, terminal: Terminal, dry_run: bool = False
) -> None:
    show_changes(response.changes, terminal)
    verb = "would be" if dry_run else "is"
    total = counted(response.changes)
    terminal.line(f"{total}; the registry {verb} at ", (f"version {response.version}", "bold"))
    terminal.data(as_json(response))
