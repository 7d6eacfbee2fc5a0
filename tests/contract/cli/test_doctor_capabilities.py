"""``runyard doctor``: what ``grpc`` providers tell of their models, beside what is declared."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.provider.v1 import provider_service_pb2 as rpc
from runyard.provider.v1.provider_service_pb2_grpc import (
    InferenceProviderServiceServicer,
    add_InferenceProviderServiceServicer_to_server,
)
from runyard.registry.v1 import registry_pb2 as reg
from services.cli.checks.capabilities import differences
from tests.contract.cli.process import runyard
from tests.contract.router.router_under_test import RouterUnderTest
from tests.support.stack import free_port

TEXT, IMAGE = reg.MODALITY_TEXT, reg.MODALITY_IMAGE
TOOLS = {"capabilities": reg.ModelCapabilities(tools=True)}
NOTHING = {"capabilities": reg.ModelCapabilities()}
DIFFERENCES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing declared": ({}, {"tools": True, "images": True, "context_window": 8}, []),
    "the same": (
        {"context_window": 8, "max_output_tokens": 4, "modalities": [TEXT, IMAGE], **TOOLS},
        {"context_window": 8, "max_output_tokens": 4, "images": True, "tools": True},
        [],
    ),
    "a size that the provider leaves open": ({"context_window": 8}, {}, []),
    "sizes": (
        {"context_window": 8, "max_output_tokens": 4},
        {"context_window": 9, "max_output_tokens": 5},
        [
            "model m declares context_window 8, the provider says 9",
            "model m declares max_output_tokens 4, the provider says 5",
        ],
    ),
    "declared, not there": (TOOLS, {}, ["model m declares tools, the provider has none"]),
    "there, denied": (
        NOTHING,
        {"json_schema": True, "reasoning": True},
        [
            "model m denies json_schema, the provider has it",
            "model m denies reasoning, the provider has it",
        ],
    ),
    "images": (
        {"modalities": [TEXT, IMAGE]},
        {},
        ["model m declares images, the provider has none"],
    ),
    "no images": (
        {"modalities": [TEXT]},
        {"images": True},
        ["model m denies images, the provider has it"],
    ),
}


@pytest.mark.parametrize(("declared", "told", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences_are_named(
    declared: dict[str, Any], told: dict[str, Any], expected: list[str]
) -> None:
    # given
    model = reg.Model(id="m", upstream_model="gpt", **declared)
    served = {"gpt": prov.ModelCapabilities(upstream_model="gpt", **told)}

    # when, then
    assert list(differences(model, served)) == expected


def test_a_model_that_the_provider_does_not_list_is_named() -> None:
    # given
    model = reg.Model(id="m", upstream_model="gpt")

    # when, then
    text = "model m: the provider does not list 'gpt'"
    assert list(differences(model, {})) == [text]


class Provider(InferenceProviderServiceServicer):
    """Tells of its models whoever has the key."""

    def __init__(self, models: Sequence[prov.ModelCapabilities]) -> None:
        self._models = models

    async def GetCapabilities(
        self, request: rpc.GetCapabilitiesRequest, context: Any
    ) -> rpc.GetCapabilitiesResponse:
        if dict(context.invocation_metadata()).get("authorization") != "Bearer sk-1":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return rpc.GetCapabilitiesResponse(models=self._models)


@asynccontextmanager
async def served(servicer: InferenceProviderServiceServicer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_InferenceProviderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def provider(id_: str, target: str, key: Path | None = None) -> list[reg.Resource]:
    """A provider, and its model of the same name that declares tools."""
    plain = reg.GrpcAdapter(transport=reg.GRPC_TRANSPORT_PLAINTEXT)
    found = reg.Provider(id=id_, grpc=plain, base_url=target)
    if key is not None:
        found.credential_ref.file = str(key)
    model = reg.Model(id=id_, provider_id=id_, upstream_model="gpt", **TOOLS)
    return [reg.Resource(provider=found), reg.Resource(model=model)]


@pytest.mark.slow
async def test_grpc_providers_are_asked_with_their_credentials(tmp_path: Path) -> None:
    # given providers that agree, differ, refuse, do not tell and are not there
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    able = Provider([prov.ModelCapabilities(upstream_model="gpt", tools=True)])
    unable = Provider([prov.ModelCapabilities(upstream_model="gpt")])
    servers = RouterUnderTest(tmp_path)
    gone = f"127.0.0.1:{free_port()}"
    async with (
        served(able) as agreeing,
        served(unable) as differing,
        served(InferenceProviderServiceServicer()) as silent,
    ):
        try:
            await servers.start_registry()
            await servers.apply(
                *provider("agrees", agreeing, key),
                *provider("differs", differing, key),
                *provider("gone", gone),
                *provider("refuses", agreeing),
                *provider("silent", silent),
            )
            assert servers.registry is not None
            at = f"registry={servers.registry.target}"

            # when
            told = await runyard("doctor", "-o", "json", RUNYARD_ENDPOINTS=at)
        finally:
            await servers.stop_registry()

    # then
    found = {
        each["check"].removeprefix("capabilities "): (each["level"], each["text"])
        for each in json.loads(told.out)["findings"]
        if each["check"].startswith("capabilities ")
    }
    level, text = found.pop("gone")
    assert (level, text.startswith(f"asked from here, {gone} answers UNAVAILABLE: ")) == (
        "warn",
        True,
    )
    assert found == {
        "agrees": ("ok", "as declared"),
        "differs": ("warn", "model differs declares tools, the provider has none"),
        "refuses": (
            "warn",
            f"asked from here, {agreeing} answers UNAUTHENTICATED: who are you?",
        ),
        "silent": ("ok", "the provider does not tell them"),
    }
    assert "sk-1" not in told.out + told.err
