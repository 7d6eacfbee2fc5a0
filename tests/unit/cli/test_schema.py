"""The schema that editors use: it takes what an apply takes and marks what an apply refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor import Descriptor
from hypothesis import given
from jsonschema import Draft202012Validator

from runyard.registry.v1 import registry_pb2 as pb
from scripts.manifest_schema import limits_in
from services.cli.demo.manifests import QUICKSTART
from services.cli.manifests.resources import load
from services.cli.manifests.schema import text
from services.cli.manifests.writing import document_of, manifest_text
from services.registry.api.resources.codec import resource_to_pb
from services.registry.core.canonical import normalised
from services.registry.core.model import Resource
from tests.support.registry_resources import agent
from tests.support.registry_strategies import resources
from tests.unit.cli.test_written import MINIMAL, ODD, TEXTS

SCHEMA: dict[str, Any] = json.loads(text())
VALIDATOR = Draft202012Validator(SCHEMA)

FULL = """
kind: Provider
id: p
spec:
  openai:
    token_limit_field: max_completion_tokens
    stream_usage: false
    headers: [{name: x-a, value: v}, {name: x-b, value_ref: {file: /run/key}}]
  base_url: https://models.example/v1
  credential_ref: {env: KEY}
  timeout: 1m30s
---
{kind: Model, id: 2025, spec: {
  provider_id: p, upstream_model: u, context_window: 32_000, modalities: [text, image],
  capabilities: {tools: true}, prices: {input_per_million: 0.15}, knowledge_cutoff: 2025-01}}
---
{kind: Tool, id: t, spec: {
  worker: {label: gpu}, json_schema: {type: object, properties: {a: {type: string}}},
  effect_class: pure, approval: ask}}
---
{kind: Agent, id: a, spec: {
  endpoint: {base_url: "https://agents.example"}, approval_rules: [{tool_id: "*", approval: deny}],
  sampling: {temperature: 0.5, top_p: 1, reasoning_effort: high}}}
"""


def problems(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "manifest",
    [*(path.read_text() for path in sorted(QUICKSTART.glob("*.yaml"))), MINIMAL, FULL],
)
def test_manifests_are_valid(manifest: str) -> None:
    # given what an apply takes
    assert load([("team.yaml", manifest)]).problems == []

    # then so does the schema
    for document in yaml.safe_load_all(manifest):
        assert problems(document) == []


@pytest.mark.slow
@given(resources())
def test_whatever_is_exported_is_valid(resource: Resource) -> None:
    held = resource_to_pb(normalised(resource))
    for full in (False, True):
        assert problems(yaml.safe_load(manifest_text([held], full=full))) == []


@pytest.mark.parametrize("odd", [*ODD, *TEXTS])
def test_odd_texts_are_valid(odd: str) -> None:
    held = agent(odd[:500], system_prompt=odd)
    assert problems(yaml.safe_load(manifest_text([held]))) == []
    assert problems(document_of(held)) == []


# Kind, spec, and the place of the mistake in the spec.
WRONG_SPECS = [
    ("Agent", "{}", ""),
    ("Agent", "{id: a, model_id: m}", ""),
    ("Agent", "{modle_id: m, model_id: m}", ""),
    ("Agent", "{model_id: null}", ".model_id"),
    ("Agent", "{model_id: [m]}", ".model_id"),
    ("Agent", "{model_id: m, tools: t}", ".tools"),
    ("Agent", "{model_id: m, max_rounds: 0}", ".max_rounds"),
    ("Agent", "{model_id: m, max_rounds: many}", ".max_rounds"),
    ("Agent", "{model_id: m, sampling: {top_p: 0}}", ".sampling.top_p"),
    ("Agent", "{model_id: m, approval_rules: [{tool_id: t}]}", ".approval_rules[0]"),
    ("Agent", "{endpoint: {base_url: 'https://x', timeout: 5}}", ".endpoint.timeout"),
    ("Provider", "{}", ""),
    ("Provider", "{openai: {}, builtin: {}}", ""),
    ("Provider", "{openai: {}, timeout: 30}", ".timeout"),
    ("Provider", "{openai: {}, timeout: 30 s}", ".timeout"),
    ("Provider", "{openai: {}, credential_ref: {env: A, file: /b}}", ".credential_ref"),
    ("Model", "{upstream_model: u}", ""),
    ("Model", "{provider_id: p, upstream_model: u, modalities: [txt]}", ".modalities[0]"),
    ("ModelPool", "{}", ""),
    ("ModelPool", "{members: []}", ".members"),
    ("ModelPool", "{members: [{model_id: m, weight: 0}]}", ".members[0].weight"),
    ("ModelPool", "{members: [{model_id: m, role: membr}]}", ".members[0].role"),
    ("ModelPool", "{members: [{model_id: m}], retry: {in_place: 11}}", ".retry.in_place"),
    ("Tool", "{builtin: pool_sned}", ".builtin"),
    ("Tool", "{worker: {}, json_schema: [1]}", ".json_schema"),
    ("Tool", "{worker: {}, effect_class: safe}", ".effect_class"),
]


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ("[]", "$"),
        ("{kind: Agent, id: a}", "$"),
        ("{kind: Agent, spec: {model_id: m}}", "$"),
        ("{kind: Agnet, id: a, spec: {}}", "$.kind"),
        ("{kind: Agent, id: '', spec: {model_id: m}}", "$.id"),
        ("{kind: Agent, id: a, colour: red, spec: {model_id: m}}", "$"),
        *(
            (f"{{kind: {k}, id: a, spec: {spec}}}", f"$.spec{path}")
            for k, spec, path in WRONG_SPECS
        ),
    ],
)
def test_a_mistake_is_marked_where_it_is(manifest: str, path: str) -> None:
    # given a document with one mistake
    (found, *more) = problems(yaml.safe_load(manifest))

    # then
    assert found.startswith(f"{path}: ")
    assert more == []


def test_every_field_of_the_contract_has_its_comment() -> None:
    # given every message that a resource is made of
    definitions = SCHEMA["$defs"]
    messages = set(reachable(pb.Resource.DESCRIPTOR)) - {pb.ResourceMeta.DESCRIPTOR}

    # then each field is there, and told about
    for message in messages - {pb.Resource.DESCRIPTOR}:
        properties = definitions[message.name]["properties"]
        top = message in {f.message_type for f in pb.Resource.DESCRIPTOR.fields}
        assert set(properties) == {f.name for f in message.fields} - ({"id"} if top else set())
        assert all(one["description"] for one in properties.values())
    assert len(messages) > 20


def reachable(message: Descriptor) -> list[Descriptor]:
    found = [message]
    for one in found:
        for field in one.fields:
            inner = field.message_type
            if inner and inner not in found and inner.file.package.startswith("runyard."):
                found.append(inner)
    return found


@pytest.mark.parametrize(
    ("comment", "limits"),
    [
        ("Share, at least 1 (0 is wrong), at most 1,000,000", {"minimum": 1, "maximum": 1_000_000}),
        ("Probes at a time, 1 to 100; default 1.", {"minimum": 1, "maximum": 100}),
        ("More than 0, at most 1: a share", {"exclusiveMinimum": 0, "maximum": 1}),
        ("At least 1, at most context_window", {"minimum": 1}),
        ("Any number.", {}),
    ],
)
def test_a_comment_tells_the_range(comment: str, limits: dict[str, int]) -> None:
    assert limits_in(comment) == limits
