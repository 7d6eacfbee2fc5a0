"""What ``runyard doctor`` finds when it asks ``grpc`` providers for their models' capabilities, and
compares them with what the registry declares.

Asked from here, with the credential as it is here; routers may see another network.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import grpc

from runyard.provider.v1 import provider_pb2 as provider
from runyard.provider.v1.provider_service_pb2 import GetCapabilitiesRequest
from runyard.provider.v1.provider_service_pb2_grpc import InferenceProviderServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from services.chassis.calls.channel import open_outside_channel, system_authorities
from services.chassis.calls.rpc_status import reason_of
from services.cli.base.exits import CliError
from services.cli.checks.findings import Finding, ok, warn
from services.cli.checks.servers import LOOK_S, ServerStatus
from services.cli.manifests.kinds import MODEL, PROVIDER
from services.cli.registry.reading import listing
from services.cli.talk.clients import Clients

_FLAGS = ("tools", "json_schema", "reasoning")
_SIZES = ("context_window", "max_output_tokens")
_MAX_SECRET_BYTES = 64 * 1024


async def capabilities(
    clients: Clients, sights: Mapping[str, ServerStatus]
) -> AsyncIterator[Finding]:
    """One finding per difference, or per provider without one; none without a registry."""
    if not sights["registry"].serving:
        return
    try:
        providers = [
            resource.provider
            async for page in listing(clients, PROVIDER)
            for resource in page.resources
            if resource.provider.WhichOneof("adapter") == "grpc"
        ]
        models = (
            [
                resource.model
                async for page in listing(clients, MODEL)
                for resource in page.resources
            ]
            if providers
            else []
        )
    except CliError as error:
        yield warn("capabilities", error.message, error.hint or "use credentials that may read")
        return
    for each in providers:
        declared = [model for model in models if model.provider_id == each.id]
        for finding in await _examined(each, declared):
            yield finding


async def _examined(each: registry.Provider, declared: list[registry.Model]) -> list[Finding]:
    check = f"capabilities {each.id}"
    try:
        told = await _ask(each)
    except grpc.aio.AioRpcError as error:
        facts = reason_of(error)
        if facts.code is grpc.StatusCode.UNIMPLEMENTED:
            return [ok(check, "the provider does not tell them")]
        text = f"asked from here, {each.base_url} answers {facts.code.name}: {facts.message}"
        return [warn(check, text, "is the provider up, and its credential here too?")]
    served = {one.upstream_model: one for one in told}
    texts = [text for model in declared for text in differences(model, served)]
    if not texts:
        return [ok(check, "as declared")]
    return [
        warn(check, text, "correct the model in the registry, or the provider") for text in texts
    ]


async def _ask(each: registry.Provider) -> list[provider.ModelCapabilities]:
    """Raises:
    grpc.aio.AioRpcError: It did not answer.
    """
    plaintext = each.grpc.transport == registry.GRPC_TRANSPORT_PLAINTEXT
    credentials = None if plaintext else system_authorities()
    secret = _secret(each.credential_ref)
    metadata = (("authorization", f"Bearer {secret}"),) if secret else ()
    async with open_outside_channel(each.base_url, credentials, each.grpc.authority) as channel:
        stub = InferenceProviderServiceStub(channel)
        answer = await stub.GetCapabilities(
            GetCapabilitiesRequest(), timeout=LOOK_S, metadata=metadata
        )
    return list(answer.models)


def _secret(reference: registry.CredentialRef) -> str:
    """What the reference is here; empty for what cannot be sent, which is found elsewhere."""
    if reference.env:
        secret = os.environ.get(reference.env, "")
    else:
        try:
            with Path(reference.file).open("rb") as file:
                secret = file.read(_MAX_SECRET_BYTES).decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError):
            return ""
    return secret if secret.isascii() and secret.isprintable() else ""


def differences(
    model: registry.Model, served: Mapping[str, provider.ModelCapabilities]
) -> Iterator[str]:
    """What a model declares and its provider tells otherwise; what either leaves open is none."""
    told = served.get(model.upstream_model)
    if told is None:
        yield f"model {model.id}: the provider does not list {model.upstream_model!r}"
        return
    for name in _SIZES:
        here, there = getattr(model, name), getattr(told, name)
        if model.HasField(name) and there and here != there:
            yield f"model {model.id} declares {name} {here}, the provider says {there}"
    flags = {name: getattr(model.capabilities, name) for name in _FLAGS}
    declared = flags if model.HasField("capabilities") else {}
    if model.modalities:
        declared = {**declared, "images": registry.MODALITY_IMAGE in model.modalities}
    for name, here in declared.items():
        if here != getattr(told, name):
            has = (
                ("declares", "the provider has none") if here else ("denies", "the provider has it")
            )
            yield f"model {model.id} {has[0]} {name}, {has[1]}"
