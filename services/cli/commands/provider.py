"""``runyard provider``: register, replace and remove a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import grpc
import typer

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.calls.rpc_status import reason_of
from services.chassis.errors import Violation
from services.chassis.protobuf.enums import EnumTable
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.messages import as_json
from services.cli.base.terminal import Output, Terminal
from services.cli.manifests.kinds import PROVIDER
from services.cli.manifests.resources import Manifests, read_manifests
from services.cli.registry.options import ExpectedVersionOption, ProviderArgument
from services.cli.registry.reading import one, touched_by
from services.cli.registry.validation import validate_manifests
from services.cli.talk.clients import CALL_TIMEOUT_S, Clients
from services.cli.talk.command import clients, new_request_id, run
from services.cli.talk.options import EndpointOption, FilesOption, OutputOption

provider_app = typer.Typer(
    no_args_is_help=True, help="Register, replace and remove providers, one step each."
)


class PolicyName(StrEnum):
    """The values of ``--policy``, named as in the contract."""

    BLOCK_IF_REFERENCED = "block"
    CASCADE_UNUSED_MODELS = "cascade"


_POLICIES = EnumTable(pb.ProviderRemovalPolicy, "PROVIDER_REMOVAL_POLICY", PolicyName)


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
        async with clients("provider preview-remove", endpoint) as stubs:
            answer = await _preview(stubs, provider)
        _show_touched(answer, terminal)
        for policy, allowed in (
            (PolicyName.BLOCK_IF_REFERENCED, answer.block_if_referenced_allowed),
            (PolicyName.CASCADE_UNUSED_MODELS, answer.cascade_unused_models_allowed),
        ):
            verdict = ("would remove it", "green") if allowed else ("would refuse", "yellow")
            terminal.line(f"  --policy {policy.value:<8}", verdict)
        terminal.data(as_json(answer))

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
            policy=_POLICIES.to_pb[policy],
            expected_version=expected_version,
            request_id=new_request_id(),
        )
        async with clients("provider remove", endpoint) as stubs:
            try:
                answer = await stubs.call("registry", stubs.registry.RemoveProvider, request)
            except CliError as error:
                raise await _in_use(stubs, provider, policy, error) from error
        with_it = touched_by(answer.removed_model_ids, answer.removed_pool_ids, ())
        for name in (f"provider/{provider}", *with_it):
            terminal.line("  ", (f"- {name}", "red"), " removed")
        for name in touched_by((), answer.updated_pool_ids, ()):
            terminal.line("  ", (f"~ {name}", "yellow"), " goes on without them")
        terminal.line("the registry is at ", (f"version {answer.version}", "bold"))
        terminal.data(as_json(answer))

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

    _send(_REGISTER, files, expected_version, endpoint, output)


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

    _send(_REPLACE, files, expected_version, endpoint, output)


class _Step(NamedTuple):
    """What differs between register and replace."""

    name: str
    request: type[pb.RegisterProviderRequest | pb.ReplaceProviderRequest]
    rpc: Callable[[Clients], Any]
    mark: str
    done: str


_REGISTER = _Step(
    "register", pb.RegisterProviderRequest, lambda c: c.registry.RegisterProvider, "+", "registered"
)
_REPLACE = _Step(
    "replace", pb.ReplaceProviderRequest, lambda c: c.registry.ReplaceProvider, "~", "replaced"
)


def _send(
    step: _Step,
    files: Sequence[str],
    expected_version: int | None,
    endpoint: list[str] | None,
    output: Output,
) -> None:
    async def work(terminal: Terminal) -> None:
        async with clients(f"provider {step.name}", endpoint) as stubs:
            manifests, provider = await _provider(stubs, files)
            request = step.request(
                provider=provider, expected_version=expected_version, request_id=new_request_id()
            )
            before = await _since(stubs, provider.id)
            async with _located(stubs, manifests):
                answer = await step.rpc(stubs)(request, timeout=CALL_TIMEOUT_S)
            changed = before is None or before != await _since(stubs, provider.id)
        mark, done = (step.mark, step.done) if changed else ("=", "unchanged")
        _show_done(mark, provider.id, done, answer, terminal)

    run(output, work)


async def _since(stubs: Clients, provider_id: str) -> int | None:
    """The version that last changed the provider; None if it is unknown."""
    try:
        read = await one(stubs, PROVIDER, provider_id)
    except CliError:
        return None
    return read.resource.meta.since_version


async def _preview(stubs: Clients, provider_id: str) -> pb.PreviewRemoveProviderResponse:
    request = pb.PreviewRemoveProviderRequest(provider_id=provider_id)
    return await stubs.call("registry", stubs.registry.PreviewRemoveProvider, request)


async def _in_use(
    stubs: Clients, provider_id: str, policy: PolicyName, error: CliError
) -> CliError:
    """Return ``error`` with all resources that use the provider; an error has room for few."""
    if error.reason != "PROVIDER_IN_USE":
        return error
    try:
        touched = await _preview(stubs, provider_id)
    except CliError:
        return error
    error.message = f"provider/{provider_id} stays: it is in use under --policy {policy.value}"
    error.details = tuple(touched_by(touched.model_ids, touched.pool_ids, touched.agent_ids))
    error.hint = "let the agents use another model first: runyard apply -f FILE"
    if policy is PolicyName.BLOCK_IF_REFERENCED and touched.cascade_unused_models_allowed:
        error.hint = f"no agent uses it: runyard provider remove {provider_id} --policy cascade"
    return error


async def _provider(
    stubs: Clients, files: Sequence[str]
) -> tuple[Manifests, registry_pb2.Provider]:
    """Return the only provider in the files.

    Raises:
        CliError: A manifest is invalid, or they hold anything but one provider.
    """
    manifests = read_manifests(files)
    if manifests.problems:
        raise (await validate_manifests(stubs, manifests)).refusal()
    kinds = [document.kind for document in manifests.documents]
    if kinds != ["Provider"]:
        raise CliError(
            f"one Provider is expected, found: {', '.join(kinds) or 'nothing'}",
            reason="MANIFEST",
            hint="for anything else: runyard apply -f FILE",
            exit_code=EXIT_USAGE,
        )
    return manifests, manifests.resources[0].provider


@asynccontextmanager
async def _located(stubs: Clients, manifests: Manifests) -> AsyncIterator[None]:
    """Give the violations of a call about the provider their lines."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        refusal = await stubs.explained("registry", error)
        located = manifests.locate_all(
            Violation(f"resources[0].{each.field}", each.description, each.reason)
            for each in reason_of(error).violations
        )
        refusal.details = tuple(map(str, located)) or refusal.details
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
    style = "dim" if mark == "=" else "green"
    terminal.line("  ", (f"{mark} provider/{provider_id}", style), f" {done}")
    located = "nothing changed; " if mark == "=" else ""
    terminal.line(f"{located}the registry is at ", (f"version {answer.version}", "bold"))
    terminal.data({**as_json(answer), "done": done})
