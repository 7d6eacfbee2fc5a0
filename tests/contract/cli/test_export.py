"""What is exported can be applied again, anywhere, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.manifests.schema import text as schema_text
from tests.contract.cli.process import put, registry, registry_with, runyard
from tests.support.registry_resources import agent, model, pool, provider, tool
from tests.unit.cli.test_written import ODD, TEXTS

pytestmark = pytest.mark.slow


def plentiful() -> list[pb.Resource]:
    """Every kind, every adapter, odd ids and texts, and fields at and off their default."""
    headers = [pb.HttpHeader(name="x-a", value="v"), pb.HttpHeader(name="x-b")]
    headers[1].value_ref.file = "/run/secrets/b"
    steps = [
        pb.BuiltinStep(matches="hi (?P<n>.*)", reply=pb.BuiltinReply(text="hello ${n}\nagain ")),
        pb.BuiltinStep(tool_results=0, fault=pb.BuiltinFault(kind="BUILTIN_FAULT_KIND_CUT")),
    ]
    steps[0].reply.tool_calls.add(tool_id="search", arguments_json='{"query": "${n}"}')
    steps[1].fault.retry_after.nanos = 1_000
    providers = [
        provider("scripted", builtin=pb.BuiltinAdapter(steps=steps)),
        provider(
            "azure/eu",
            openai=pb.OpenAiAdapter(
                stream_usage=False,
                headers=headers,
                query=[pb.QueryParameter(name="api-version", value="2024-10-21")],
            ),
            base_url="https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT",
        ),
        provider("plain", openai=pb.OpenAiAdapter(), base_url="https://api.openai.com/v1"),
        provider("claude", anthropic=pb.AnthropicAdapter(betas=["a", "b"])),
        provider("own", grpc=pb.GrpcAdapter(authority="models"), base_url="dns:///models:50051"),
    ]
    models = [
        model("priced", "plain", prices=pb.ModelPrices(currency="EUR", input_per_million="0.150")),
        model("free", "plain", prices=pb.ModelPrices(), capabilities=pb.ModelCapabilities()),
        model("sees", "claude", modalities=["MODALITY_IMAGE"], knowledge_cutoff="2025-01"),
    ]
    both = pool("2026-01-31", ["priced", "free"], switch=pb.PoolSwitch(on_quota=False))
    both.model_pool.members[1].weight = 7
    both.model_pool.retry.in_place = 0
    odd = [agent(id_, "2026-01-31") for id_ in ODD if id_.isprintable() or id_ == "\u00a0x"]
    told = [agent(f"prompt {n}", "sees", system_prompt=text) for n, text in enumerate(TEXTS)]
    schemas = ['{"type": "object"}', '{"type":"object"}', '{\n  "a": [1.0, "010"]\n}', ""]
    tools = [tool(f"t{n}", json_schema=text) for n, text in enumerate(schemas)]
    tools += [tool("builtin", builtin="BUILTIN_TOOL_POOL_WAIT"), tool("search", effect_class=1)]
    return [*providers, *models, both, *odd, *told, *tools]


async def test_an_export_applied_again_changes_nothing(tmp_path: Path) -> None:
    # given a registry with everything in it that is hard to write
    resources = plentiful()
    async with registry_with(tmp_path, *resources, apply_set="all") as (at, _):
        # when it is exported and applied, as it is and in full
        short = await runyard("export", **at)
        full = await runyard("export", "--full", **at)
        applied = await runyard("apply", "-f", "-", "-o", "json", text=short.out, **at)
        applied_full = await runyard("apply", "-f", "-", "-o", "json", text=full.out, **at)
        again = await runyard("export", **at)
        of_the_set = await runyard("export", "--set", "all", **at)
        programs = await runyard("export", "-o", "json", **at)

    # then nothing differs, and another export is the same text
    for answer in (applied, applied_full):
        assert answer.code == 0, answer.err
        told = json.loads(answer.out)
        assert {change["action"] for change in told["changes"]} == {"CHANGE_ACTION_UNCHANGED"}
        assert (told["version"], len(told["changes"])) == ("2", len(resources))
    assert again.out == short.out
    assert of_the_set.out == short.out
    assert len(json.loads(programs.out)["resources"]) == len(resources)
    # and editors take every document
    validator = Draft202012Validator(json.loads(schema_text()))
    for document in [*yaml.safe_load_all(short.out), *yaml.safe_load_all(full.out)]:
        assert list(validator.iter_errors(document)) == []


async def test_an_export_makes_an_empty_registry_the_same(tmp_path: Path) -> None:
    # given
    async with registry_with(tmp_path, *plentiful()) as (at, _):
        exported = await runyard("export", **at)

    # when another registry is made from it
    other = tmp_path / "other"
    other.mkdir()
    async with registry(other) as at:
        await runyard("apply", "-f", "-", text=exported.out, **at)
        copied = await runyard("export", **at)

    # then
    assert copied.out == exported.out


async def test_an_export_can_be_of_some_kinds_and_of_a_set(tmp_path: Path) -> None:
    async with registry_with(tmp_path, provider(), model(), apply_set="team") as (at, stub):
        await put(stub, [tool("b"), tool("a"), model("other")])

        # when
        kinds = await runyard("export", "tools", "models", **at)
        both = await runyard("export", "models", "--set", "team", **at)
        none = await runyard("export", "--set", "nobody", **at)

    # then
    def ids(text: str) -> list[str]:
        return [document["id"] for document in yaml.safe_load_all(text)]

    assert ids(kinds.out) == ["other", "small", "a", "b"]
    assert ids(both.out) == ["small"]
    assert (none.code, none.out, none.err) == (0, "", "nothing found\n")
