"""``runyard apply``: manifests into the registry, as one version."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.rpc_status import ErrorFacts, reason_of
from services.cli.changes import counted, show_changes
from services.cli.clients import CALL_TIMEOUT_S, Clients, explained
from services.cli.command import clients, new_request_id, run
from services.cli.examining import examined
from services.cli.exits import CliError
from services.cli.options import EndpointOption, ExpectedVersionOption, FilesOption, OutputOption
from services.cli.resources import Manifests, load, read_files
from services.cli.terminal import Output, Terminal


class ModeName(StrEnum):
    """What an apply may do."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


MarkOption = Annotated[
    str,
    typer.Option("--set", metavar="NAME", help="Name the set that these resources make up."),
]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="Remove what carries the set and is not in the files any more."),
]
ModeOption = Annotated[
    ModeName,
    typer.Option(
        "--mode", help="create refuses what exists, update what does not, upsert neither."
    ),
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with manifests, beside what stands in them."""

    apply_set: str = ""
    prune: bool = False
    mode: ModeName = ModeName.UPSERT
    expected_version: int | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.prune and not self.apply_set:
            raise typer.BadParameter("--prune needs --set NAME")

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


def apply(
    files: FilesOption,
    apply_set: MarkOption = "",
    prune: PruneOption = False,
    mode: ModeOption = ModeName.UPSERT,
    expected_version: ExpectedVersionOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create, update and with --prune remove resources: all of them in one version, or none.

    A manifest is YAML, one document per resource: kind, id and spec, whose fields are those of the
    contract. Errors name file, line and field, all of them in one go. Nothing is asked: --dry-run
    shows the plan.

    Examples: runyard apply -f examples/quickstart --dry-run

    runyard apply -f team.yaml --set team --prune
    """
    wish = Wish(apply_set, prune, mode, expected_version, dry_run)
    run(output, lambda terminal: apply_files(files, wish, endpoint, terminal))


async def apply_files(
    files: Sequence[str], wish: Wish, endpoint: list[str] | None, terminal: Terminal
) -> None:
    """Apply them and show what that did, or would do.

    Raises:
        CliError: Something is wrong with them, or the registry refuses.
    """
    manifests = read_manifests(files)
    async with clients("apply", endpoint) as found:
        if manifests.problems:
            raise (await examined(found, manifests)).refusal()
        answer = await apply_resources(found, manifests, wish)
    show(answer, terminal, wish.dry_run)


def read_manifests(paths: Sequence[str]) -> Manifests:
    """The manifests of files, folders and standard input, with their problems.

    Raises:
        CliError: A path cannot be read.
    """
    return load(read_files(paths, sys.stdin.read() if "-" in paths else ""))


async def apply_resources(
    found: Clients, manifests: Manifests, wish: Wish | None = None
) -> pb.ApplyResourcesResponse:
    """Apply them.

    Raises:
        CliError: The registry refuses; violations are led back to their lines.
    """
    request = (wish or Wish()).request(manifests)
    try:
        return await found.registry.ApplyResources(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        refusal = explained("registry", found.endpoints["registry"], error)
        raise await _led_back(refusal, reason_of(error), manifests, found) from error


async def _led_back(
    refusal: CliError, facts: ErrorFacts, manifests: Manifests, found: Clients
) -> CliError:
    """``refusal`` with every violation at its line, however many there are."""
    told = manifests.locate_all(facts.violations)
    if not told:
        return refusal
    omitted = int(facts.metadata.get("violations_omitted", "0"))
    if omitted:
        # An error has room for a few only; an answer has room for all.
        more = (await examined(found, manifests)).problems
        omitted = max(0, len(told) + omitted - len(more))
        told = more if len(more) > len(told) else told
    if any(one.field == "resources" for one in told):
        refusal.hint = "apply them in parts; runyard export KIND writes some of the kinds"
    lines = tuple(map(str, told))
    refusal.message = f"{len(lines) + omitted} problem(s); nothing was applied"
    refusal.details = (*lines, f"and {omitted} more") if omitted else lines
    return refusal


def show(response: pb.ApplyResourcesResponse, terminal: Terminal, dry_run: bool = False) -> None:
    show_changes(response.changes, terminal)
    verb = "would be" if dry_run else "is"
    told = counted(response.changes)
    terminal.line(f"{told}; the registry {verb} at ", (f"version {response.version}", "bold"))
    terminal.data(MessageToDict(response, preserving_proto_field_name=True))
