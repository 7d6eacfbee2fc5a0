"""``runyard provider``: the life of a provider, as one step each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.errors import Violation
from services.chassis.rpc_status import reason_of
from services.cli.apply import read_manifests
from services.cli.clients import CALL_TIMEOUT_S, Clients, explained
from services.cli.command import clients, new_request_id, run
from services.cli.completion import complete_provider_ids
from services.cli.examining import examined
from services.cli.exits import EXIT_USAGE, CliError
from services.cli.options import (
    EndpointOption,
    ExpectedVersionOption,
    FilesOption,
    OutputOption,
)
from services.cli.reading import touched_by
from services.cli.resources import Manifests
from services.cli.terminal import Output, Terminal

provider_app = typer.Typer(
    no_args_is_help=True, help="Register, replace and remove providers, one step each."
)
ProviderArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The provider.", autocompletion=complete_provider_ids)
]


class PolicyName(StrEnum):
    """What removing a provider may take with it."""

    BLOCK = "block"
    CASCADE = "cascade"


_POLICIES = {
    PolicyName.BLOCK: pb.PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED,
    PolicyName.CASCADE: pb.PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS,
}


@provider_app.command("preview-remove")
def preview_remove(
    provider: ProviderArgument,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what removing a provider would touch, and which policy would allow it.

    Example: runyard provider preview-remove north
    """

    async def work(terminal: Terminal) -> None:
        async with clients("provider preview-remove", endpoint) as found:
            answer = await _preview(found, provider)
        _show_touched(answer, terminal)
        for policy, allowed in (
            (PolicyName.BLOCK, answer.block_if_referenced_allowed),
            (PolicyName.CASCADE, answer.cascade_unused_models_allowed),
        ):
            verdict = ("would remove it", "green") if allowed else ("would refuse", "yellow")
            terminal.line(f"  --policy {policy.value:<8}", verdict)
        terminal.data(_json(answer))

    run(output, work)


@provider_app.command("remove")
def remove(
    provider: ProviderArgument,
    policy: Annotated[
        PolicyName,
        typer.Option(
            help="block refuses when a model refers to it; cascade takes models that no agent uses."
        ),
    ],
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove a provider; with cascade its models and pools without a home go too. Nothing is asked.

    Example: runyard provider remove north --policy cascade
    """

    async def work(terminal: Terminal) -> None:
        request = pb.RemoveProviderRequest(
            provider_id=provider,
            policy=_POLICIES[policy],
            expected_version=expected_version,
            request_id=new_request_id(),
        )
        async with clients("provider remove", endpoint) as found:
            try:
                with found.talking_to("registry"):
                    answer = await found.registry.RemoveProvider(request, timeout=CALL_TIMEOUT_S)
            except CliError as error:
                raise await _in_use(found, provider, policy, error) from error
        with_it = touched_by(answer.removed_model_ids, answer.removed_pool_ids, ())
        for name in (f"provider/{provider}", *with_it):
            terminal.line("  ", (f"- {name}", "red"), " removed")
        for name in touched_by((), answer.updated_pool_ids, ()):
            terminal.line("  ", (f"~ {name}", "yellow"), " goes on without them")
        terminal.line("the registry is at ", (f"version {answer.version}", "bold"))
        terminal.data(_json(answer))

    run(output, work)


@provider_app.command("register")
def register(
    files: FilesOption,
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Add the one provider of a manifest; refused when its id is known, whatever its content.

    Example: runyard provider register -f north.yaml
    """

    async def work(terminal: Terminal) -> None:
        async with clients("provider register", endpoint) as found:
            manifests, provider = await _provider(found, files)
            request = pb.RegisterProviderRequest(
                provider=provider, expected_version=expected_version, request_id=new_request_id()
            )
            with _led_back(found, manifests):
                answer = await found.registry.RegisterProvider(request, timeout=CALL_TIMEOUT_S)
        _show_done("+", provider.id, "registered", answer, terminal)

    run(output, work)


@provider_app.command("replace")
def replace(
    files: FilesOption,
    expected_version: ExpectedVersionOption = None,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replace a known provider by the one of a manifest; its models, pools and agents stay.

    Example: runyard provider replace -f north.yaml
    """

    async def work(terminal: Terminal) -> None:
        async with clients("provider replace", endpoint) as found:
            manifests, provider = await _provider(found, files)
            request = pb.ReplaceProviderRequest(
                provider=provider, expected_version=expected_version, request_id=new_request_id()
            )
            with _led_back(found, manifests):
                answer = await found.registry.ReplaceProvider(request, timeout=CALL_TIMEOUT_S)
        _show_done("~", provider.id, "replaced", answer, terminal)

    run(output, work)


async def _preview(found: Clients, provider_id: str) -> pb.PreviewRemoveProviderResponse:
    request = pb.PreviewRemoveProviderRequest(provider_id=provider_id)
    with found.talking_to("registry"):
        return await found.registry.PreviewRemoveProvider(request, timeout=CALL_TIMEOUT_S)


async def _in_use(
    found: Clients, provider_id: str, policy: PolicyName, error: CliError
) -> CliError:
    """``error`` with everything that is in the way; an error itself has no room for many ids."""
    if error.reason != "PROVIDER_IN_USE":
        return error
    try:
        touched = await _preview(found, provider_id)
    except CliError:
        return error
    error.message = f"provider/{provider_id} stays: it is in use under --policy {policy.value}"
    error.details = tuple(touched_by(touched.model_ids, touched.pool_ids, touched.agent_ids))
    error.hint = "let the agents use another model first: runyard apply -f FILE"
    if policy is PolicyName.BLOCK and touched.cascade_unused_models_allowed:
        error.hint = f"no agent uses it: runyard provider remove {provider_id} --policy cascade"
    return error


async def _provider(
    found: Clients, files: Sequence[str]
) -> tuple[Manifests, registry_pb2.Provider]:
    """The one provider that the files are about.

    Raises:
        CliError: Something is wrong with them, or they hold anything else.
    """
    manifests = read_manifests(files)
    if manifests.problems:
        raise (await examined(found, manifests)).refusal()
    kinds = [document.kind for document in manifests.documents]
    if kinds != ["Provider"]:
        raise CliError(
            f"one Provider is expected, found: {', '.join(kinds) or 'nothing'}",
            reason="MANIFEST",
            hint="for anything else: runyard apply -f FILE",
            exit_code=EXIT_USAGE,
        )
    return manifests, manifests.resources[0].provider


@contextmanager
def _led_back(found: Clients, manifests: Manifests) -> Iterator[None]:
    """Give the violations of a call about the provider their lines."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        refusal = explained("registry", found.endpoints["registry"], error)
        told = manifests.locate_all(
            Violation(f"resources[0].{one.field}", one.description, one.reason)
            for one in reason_of(error).violations
        )
        refusal.details = tuple(map(str, told)) or refusal.details
        raise refusal from error


def _show_touched(answer: pb.PreviewRemoveProviderResponse, terminal: Terminal) -> None:
    terminal.line((f"provider/{answer.provider_id}", "bold"), f" at version {answer.version}")
    touched = touched_by(answer.model_ids, answer.pool_ids, answer.agent_ids)
    for name in touched:
        terminal.line("  touches ", name)
    if not touched:
        terminal.line("  nothing uses it")


def _show_done(
    mark: str,
    provider_id: str,
    done: str,
    answer: pb.RegisterProviderResponse | pb.ReplaceProviderResponse,
    terminal: Terminal,
) -> None:
    terminal.line("  ", (f"{mark} provider/{provider_id}", "green"), f" {done}")
    terminal.line("the registry is at ", (f"version {answer.version}", "bold"))
    terminal.data(_json(answer))


def _json(answer: Message) -> Any:
    return MessageToDict(answer, preserving_proto_field_name=True)
