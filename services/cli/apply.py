"""``runyard apply``: manifests into the registry, as one version."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1.registry_pb2 import ResourceKind
from services.chassis.rpc_status import ErrorFacts, reason_of
from services.cli.clients import CALL_TIMEOUT_S, Clients, explained
from services.cli.command import clients, new_request_id, run
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.options import EndpointOption, OutputOption
from services.cli.reflect import short_name
from services.cli.resources import Manifests, load, read_files
from services.cli.terminal import Output, Terminal

_MARKS = {
    pb.CHANGE_ACTION_CREATED: ("+", "green"),
    pb.CHANGE_ACTION_UPDATED: ("~", "yellow"),
    pb.CHANGE_ACTION_UNCHANGED: ("=", "dim"),
    pb.CHANGE_ACTION_REMOVED: ("-", "red"),
}
_KIND = ResourceKind.DESCRIPTOR
_ACTION = pb.ChangeAction.DESCRIPTOR


def apply(
    files: Annotated[
        list[str],
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Manifest, folder of them, or - for standard input",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create and update resources from manifests: all of them in one version, or none.

    A manifest is YAML, one document per resource: kind, id and spec, whose fields are those of the
    contract. Errors name file, line and field.

    Example: runyard apply -f examples/quickstart --dry-run
    """

    async def work(terminal: Terminal) -> None:
        manifests = read_manifests(files)
        async with clients("apply", endpoint) as found:
            answer = await apply_resources(found, manifests, dry_run=dry_run)
            show(answer, terminal, dry_run)

    run(output, work)


def read_manifests(paths: Sequence[str]) -> Manifests:
    """The manifests of files, folders and standard input.

    Raises:
        CliError: With every problem of all of them.
    """
    manifests = load(read_files(paths, sys.stdin.read() if "-" in paths else ""))
    if manifests.problems:
        raise CliError(
            f"{len(manifests.problems)} problem(s) in the manifests; nothing was applied",
            reason="MANIFEST",
            details=tuple(str(problem) for problem in manifests.problems),
            exit_code=EXIT_USAGE,
        )
    return manifests


async def apply_resources(
    found: Clients, manifests: Manifests, *, dry_run: bool = False
) -> pb.ApplyResourcesResponse:
    """Apply them.

    Raises:
        CliError: The registry refuses; violations are led back to their lines.
    """
    request = pb.ApplyResourcesRequest(
        resources=manifests.resources, dry_run=dry_run, request_id=new_request_id()
    )
    try:
        return await found.registry.ApplyResources(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        refusal = explained("registry", found.endpoints["registry"], error)
        raise _led_back(refusal, reason_of(error), manifests) from error


def _led_back(refusal: CliError, facts: ErrorFacts, manifests: Manifests) -> CliError:
    """``refusal`` with every violation at its line, and their number if more than could be sent."""
    details = manifests.locate_all(facts.violations)
    if not details:
        return refusal
    omitted = int(facts.metadata.get("violations_omitted", "0"))
    refusal.message = f"{len(details) + omitted} problem(s); nothing was applied"
    refusal.details = (*details, f"and {omitted} more") if omitted else details
    return refusal


def show(response: pb.ApplyResourcesResponse, terminal: Terminal, dry_run: bool = False) -> None:
    for change in response.changes:
        mark, style = _MARKS.get(change.action, ("?", ""))
        name = f"{mark} {short_name(_KIND, change.ref.kind)}/{change.ref.id}"
        terminal.line("  ", (name, style), f" {short_name(_ACTION, change.action)}")
        # What is new stands in the manifest already.
        for field in change.fields if change.action == pb.CHANGE_ACTION_UPDATED else ():
            before, after = field.before or "none", field.after or "none"
            terminal.line(f"      {field.path}: ", (before, "red"), " → ", (after, "green"))
        if change.fields_truncated and change.action == pb.CHANGE_ACTION_UPDATED:
            terminal.line("      ", ("more fields differ than fit into a plan", "dim"))
    verb = "would be" if dry_run else "is"
    terminal.line("the registry ", verb, " at ", (f"version {response.version}", "bold"))
    terminal.data(MessageToDict(response, preserving_proto_field_name=True))
