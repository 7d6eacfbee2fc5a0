"""What looks like a secret, in every text of every kind of resource.

The texts are those of the contract: a new one fails here until it is said what becomes of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.errors import Violation
from services.registry.api.resources.codec import submitted_from_pb
from services.registry.core.rules.validating import submitted_violations

RANDOM = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
LOOK_ALIKES = (
    "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7", "sk-ant-api03-aB3dE5fG7hI9jK1l", "sk_live_51HaB3dE5fG7hI9",
    "AKIAIOSFODNN7EXAMPLE", "ASIAQWERTYUIOPASDFGH", "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t",
    "github_pat_11ABCDEFG0aB3dE5fG7hI9", "glpat-aB3d-E5fG7_hI9jK1lM", "xoxb-123456789012-aB3dE5fG7",
    "AIzaSyA-aB3dE5fG7hI9jK1lM3nO5pQ7", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ", "gsk_aB3dE5fG7hI9jK1lM3nO",
    "npm_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t", "SG.aB3dE5fG7hI9jK1l.M3nO5pQ7rS9tU1",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.aB3dE5", "0123456789abcdef0123456789abcdef", RANDOM,
    "ryd_9vJ2kQx7Lm4TzPq1WcB8nYd5RfHs3GaEu6ViKo0jXtM", "postgresql://runyard:hunter2@db/registry",
    "Bearer 8f14e45fceea167a5a36dedd4bea2543", "Basic dXNlcjpodW50ZXIy",
    "-----BEGIN PRIVATE KEY-----MIIEvQIBADANBg",
)  # fmt: skip


class Fate(Enum):
    """What becomes of a text that looks like a secret."""

    REFUSED = "refused"
    WARNED = "accepted with a warning"
    NAME = "accepted: a name, whatever it looks like"


FATES = {
    "Provider.base_url": Fate.REFUSED,
    "CredentialRef.env": Fate.REFUSED,
    "CredentialRef.file": Fate.REFUSED,
    "OpenAiAdapter.organization": Fate.REFUSED,
    "OpenAiAdapter.project": Fate.REFUSED,
    "AnthropicAdapter.api_version": Fate.REFUSED,
    "AnthropicAdapter.betas": Fate.REFUSED,
    "GrpcAdapter.authority": Fate.REFUSED,
    "HttpHeader.name": Fate.REFUSED,
    "HttpHeader.value": Fate.REFUSED,
    "QueryParameter.name": Fate.REFUSED,
    "QueryParameter.value": Fate.REFUSED,
    "AgentEndpoint.base_url": Fate.REFUSED,
    "BuiltinStep.matches": Fate.WARNED,
    "BuiltinReply.text": Fate.WARNED,
    "BuiltinReply.reasoning": Fate.WARNED,
    "BuiltinToolCall.arguments_json": Fate.WARNED,
    "BuiltinFault.text": Fate.WARNED,
    "Agent.system_prompt": Fate.WARNED,
    "Sampling.stop": Fate.WARNED,
    "Tool.description": Fate.WARNED,
    "Tool.json_schema": Fate.WARNED,
    "Provider.id": Fate.NAME,
    "Model.id": Fate.NAME,
    "Model.provider_id": Fate.NAME,
    "Model.upstream_model": Fate.NAME,
    "ModelPool.id": Fate.NAME,
    "PoolMember.model_id": Fate.NAME,
    "Agent.id": Fate.NAME,
    "Agent.model_id": Fate.NAME,
    "Agent.tools": Fate.NAME,
    "ApprovalRule.tool_id": Fate.NAME,
    "Tool.id": Fate.NAME,
    "WorkerExecutor.label": Fate.NAME,
    "BuiltinStep.upstream_model": Fate.NAME,
    "BuiltinToolCall.tool_id": Fate.NAME,
}
# Of a form that no secret has: three letters, a price, a date.
OF_THEIR_OWN_FORM = {
    "Model.knowledge_cutoff",
    *(f"ModelPrices.{name}_per_million" for name in ("input", "output", "cache_read")),
    *("ModelPrices.cache_write_per_million", "ModelPrices.currency"),
}

# A legal resource of each kind and adapter, in which one text is replaced.
_HEADERS = [
    {"name": "x-team", "value": "blue"},
    {"name": "x-secret", "value_ref": {"env": "SECRET"}},
]
_AT = {"base_url": "https://models.example/v1", "credential_ref": {"file": "/run/key"}}
_REPLY = {"text": "hi", "reasoning": "hm", "tool_calls": [{"tool_id": "t", "arguments_json": "{}"}]}
_STEPS = [
    {"matches": "hi", "upstream_model": "small", "reply": _REPLY},
    {"fault": {"kind": "BUILTIN_FAULT_KIND_CUT", "text": "oh"}},
]
LEGAL = (
    {"provider": {
        "id": "p", **_AT,
        "openai": {
            "organization": "team", "project": "blue", "headers": _HEADERS,
            "query": [{"name": "api-version", "value": "2024-10-21"}],
        },
    }},
    {"provider": {
        "id": "p", **_AT, "credential_ref": {"env": "KEY"},
        "anthropic": {"api_version": "2023-06-01", "betas": ["tools"], "headers": _HEADERS},
    }},
    {"provider": {"id": "p", "base_url": "models:50051", "grpc": {"authority": "models.example"}}},
    {"provider": {"id": "p", "builtin": {"steps": _STEPS}}},
    {"model": {"id": "m", "provider_id": "p", "upstream_model": "large"}},
    {"model_pool": {"id": "mp", "members": [{"model_id": "m"}]}},
    {"agent": {
        "id": "a", "model_id": "m", "system_prompt": "be brief", "tools": ["t"],
        "approval_rules": [{"tool_id": "t", "approval": "APPROVAL_ASK"}],
        "sampling": {"stop": ["END"]},
        "endpoint": {**_AT, "base_url": "https://agents.example"},
    }},
    {"tool": {
        "id": "t", "description": "finds", "json_schema": "{}", "worker": {"label": "gpu"},
    }},
)  # fmt: skip


def texts_of(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every text of a message of the contract, ``Provider.base_url``."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield f"{message.name}.{field.name}"
        inner = field.message_type
        if inner is not None and inner.full_name.startswith("runyard") and inner.name not in seen:
            yield from texts_of(inner, seen | {inner.name})


def places_of(kind: object, message: Descriptor, path: str = "") -> Iterator[tuple[str, str]]:
    """The texts that ``kind``, a message as JSON, sets: its path, and the text of the contract."""
    assert isinstance(kind, dict)
    for name, value in kind.items():
        field = message.fields_by_name[name]
        at = f"{path}.{name}" if path else name
        listed = isinstance(value, list)
        for index, one in enumerate(value if listed else [value]):
            where = f"{at}[{index}]" if listed else at
            if field.type == FieldDescriptor.TYPE_STRING:
                yield where, f"{message.name}.{name}"
            elif field.message_type is not None:
                yield from places_of(one, field.message_type, where)


def replaced(kind: object, path: str, value: str) -> pb.Resource:
    """``kind`` with ``value`` at ``path``."""
    copy = json.loads(json.dumps(kind))
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    inner = copy
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = value
    return ParseDict(copy, pb.Resource())


PLACES = [
    pytest.param(kind, path, text, id=f"{text}-{number}")
    for number, kind in enumerate(LEGAL)
    for path, text in places_of(kind, pb.Resource.DESCRIPTOR)
]


def judged(resource: pb.Resource) -> tuple[list[Violation], tuple[Violation, ...]]:
    """What it is refused for, and what is warned of."""
    arm = resource.WhichOneof("resource") or ""
    submitted = submitted_from_pb(resource, arm)
    return list(submitted_violations(submitted)), submitted.warnings


def written(text: str, look_alike: str) -> list[str]:
    """How ``look_alike`` may stand in a text."""
    match text:
        case "Provider.base_url" | "AgentEndpoint.base_url":
            return [
                f"https://models.example/v1/{look_alike}",
                f"https://models.example/{look_alike}/v1",
                f"https://{look_alike}.example/v1",
                f"https://models.example/v1?key={look_alike}",
                f"https://{look_alike}@models.example/v1",
                f"https://user:{look_alike}@models.example/v1",
            ]
        case "CredentialRef.file":
            return [look_alike, f"/run/{look_alike}"]
        case "Tool.json_schema" | "BuiltinToolCall.arguments_json":
            return [json.dumps({"description": look_alike})]
        case "Agent.system_prompt" | "Tool.description":
            return [look_alike, f"Call it with {look_alike}, always.\nBe brief."]
        case _:
            return [look_alike]


def test_it_is_said_of_every_text_what_becomes_of_a_secret() -> None:
    texts = set()
    for kind in ("provider", "model", "model_pool", "agent", "tool"):
        message = pb.Resource.DESCRIPTOR.fields_by_name[kind].message_type
        texts |= set(texts_of(message, frozenset({message.name})))
    assert texts == FATES.keys() | OF_THEIR_OWN_FORM


def test_every_text_is_tried() -> None:
    tried = {param.values[2] for param in PLACES}
    assert tried == FATES.keys()


@pytest.mark.parametrize("kind", LEGAL, ids=lambda kind: next(iter(kind)))
def test_a_legal_resource_is_neither_refused_nor_warned_of(kind: dict[str, object]) -> None:
    assert judged(ParseDict(kind, pb.Resource())) == ([], ())


@pytest.mark.parametrize(("kind", "path", "text"), PLACES)
def test_a_look_alike_meets_the_fate_of_its_text(kind: object, path: str, text: str) -> None:
    for look_alike in LOOK_ALIKES:
        for here in written(text, look_alike):
            violations, warnings = judged(replaced(kind, path, here))
            refused = path in {one.field for one in violations}
            assert refused is (FATES[text] is Fate.REFUSED), here
            warned = path in {one.field for one in warnings}
            assert warned is (FATES[text] is Fate.WARNED), here
            assert not any(look_alike in one.description for one in (*violations, *warnings))
