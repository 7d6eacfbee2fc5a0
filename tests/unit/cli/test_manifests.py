"""From YAML to resources: what is accepted, and where every problem is said to be."""

from __future__ import annotations

import json
import textwrap

import pytest
import yaml
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.registry.v1 import registry_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_pb2
from runyard.types.v1 import content_pb2
from services.chassis.errors import Violation
from services.cli.manifests.filling import MessageFiller
from services.cli.manifests.resources import Manifests, load


def manifests(text: str) -> Manifests:
    return load([("team.yaml", textwrap.dedent(text))])


def problems(text: str) -> list[str]:
    return [str(problem) for problem in manifests(text).problems]


def resource(text: str) -> pb.Resource:
    loaded = manifests(text)
    assert loaded.problems == []
    (found,) = loaded.resources
    return found


def test_documents_become_resources_of_every_kind() -> None:
    # given one document of each kind
    loaded = manifests("""
        kind: Provider
        id: local
        spec:
          builtin:
            steps:
              - matches: "weather in (?P<city>\\\\w+)"
                reply:
                  tool_calls:
                    - tool_id: forecast
                      arguments_json: {city: "${city}", days: 3, exact: true}
              - upstream_model: flaky
                fault: {kind: rate_limited, retry_after: 30s}
            delta_interval: 200ms
        ---
        kind: Model
        id: small
        spec:
          provider_id: local
          upstream_model: small-1
          context_window: 32_000
          modalities: [text, image]
          prices: {input_per_million: 0.15}
          knowledge_cutoff: 2025-01-31
        ---
        kind: ModelPool
        id: narration
        spec:
          members:
            - model_id: small
              weight: 2
            - model_id: large
              role: failover_only
          switch: {on_quota: true, max_switches_per_session: 0}
          clocks: {first_chunk: 1m30s}
        ---
        kind: Agent
        id: scout
        spec:
          model_id: narration
          tools: [pool_send]
          approval_rules: [{tool_id: "*", approval: ask, approval_timeout: 5m}]
          sampling: {temperature: 0.5}
        ---
        kind: Tool
        id: pool_send
        spec:
          builtin: pool_send
          approval: ask
          approval_timeout: 1h
    """)

    # when they are read
    provider, model, pool, agent, tool = loaded.resources

    # then each value is in its field
    assert loaded.problems == []
    steps = provider.provider.builtin.steps
    assert provider.provider.id == "local"
    assert steps[0].matches == r"weather in (?P<city>\w+)"
    assert steps[0].reply.tool_calls[0].arguments_json == (
        '{"city": "${city}", "days": 3, "exact": true}'
    )
    assert steps[1].fault.kind == pb.BUILTIN_FAULT_KIND_RATE_LIMITED
    assert steps[1].fault.retry_after.seconds == 30
    assert provider.provider.builtin.delta_interval.nanos == 200_000_000
    assert model.model.context_window == 32_000
    assert list(model.model.modalities) == [pb.MODALITY_TEXT, pb.MODALITY_IMAGE]
    assert model.model.prices.input_per_million == "0.15"
    assert model.model.knowledge_cutoff == "2025-01-31"
    assert [member.weight for member in pool.model_pool.members] == [2, 0]
    assert not pool.model_pool.members[1].HasField("weight")
    assert pool.model_pool.members[1].role == pb.POOL_MEMBER_ROLE_FAILOVER_ONLY
    assert pool.model_pool.switch.HasField("max_switches_per_session")
    assert pool.model_pool.clocks.first_chunk.seconds == 90
    assert agent.agent.sampling.temperature == 0.5
    assert agent.agent.approval_rules[0].approval == content_pb2.APPROVAL_ASK
    assert agent.agent.approval_rules[0].approval_timeout.seconds == 300
    assert tool.tool.approval_timeout.seconds == 3_600
    assert tool.tool.builtin == pb.BUILTIN_TOOL_POOL_SEND
    assert tool.tool.approval == content_pb2.APPROVAL_ASK


def test_an_empty_message_is_written_as_braces() -> None:
    found = resource("{kind: Tool, id: search, spec: {worker: {}}}")
    assert found.tool.WhichOneof("executor") == "worker"


def test_a_document_without_a_spec_and_empty_documents_are_fine() -> None:
    loaded = manifests("---\n---\nkind: Agent\nid: bare\n---\n# nothing\n")
    assert loaded.problems == []
    assert [r.agent.id for r in loaded.resources] == ["bare"]


def test_every_problem_is_told_with_file_line_and_field() -> None:
    # given a manifest with one mistake on each of several lines
    found = problems("""
        kind: ModelPool
        id: narration
        spec:
          members:
            - model_id: small
              wieght: 2
            - model_id: large
              role: x
          clocks:
            first_chunk: 30
          mid_stream:
          retry: yes
        ---
        kind: Modle
        id: x
        ---
        kind: Model
        id: y
        colour: red
        spec: {context_window: many, id: y}
    """)

    # then they are reported together, in the order of the file
    assert found == [
        'team.yaml:7: spec.members[0].wieght: unknown field "wieght", did you mean "weight"?',
        'team.yaml:9: spec.members[1].role: unknown value "x"; known are failover_only, member',
        "team.yaml:11: spec.clocks.first_chunk: '30' is no duration: write 30s, 200ms, 1h30m or 7d",
        'team.yaml:12: spec.mid_stream: has no value: leave it out, or write "" for an empty one',
        "team.yaml:13: spec.retry: must be a mapping of fields: in_place",
        'team.yaml:15: kind: unknown kind "Modle", did you mean "Model"?',
        'team.yaml:20: colour: unknown field "colour"; known are id, kind, spec',
        "team.yaml:21: spec.context_window: 'many' is no whole number",
        "team.yaml:21: spec.id: stands outside: write id beside kind and spec",
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{weight: -1}", "-1 is not between 0 and 4294967295"),
        ("{weight: 4294967296}", "4294967296 is not between 0 and 4294967295"),
        ("{weight: [1]}", "must be a single value"),
        ("{model_id: {a: b}}", "must be a single value"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_a_problem(spec: str, message: str) -> None:
    (found,) = problems(f"{{kind: ModelPool, id: p, spec: {{members: [{spec}]}}}}")
    assert found.endswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just text", "1: a document is a mapping of kind, id and spec"),
        ("id: x\nspec: {}", "1: kind: is required and must be text"),
        ("kind: Tool\nid:\n", "2: id: is required and must be text"),
        ("kind: Tool\nid: a\nspec: [1]", "3: spec: must be a mapping of fields"),
        ("kind: Tool\nid: a\nid: b", "3: id: is written twice"),
        ("kind: Tool\nid: a\n<<: {spec: {}}", "3: merge keys (<<) are not supported"),
        ("kind: Tool\n  id: a", "2: not YAML: mapping values are not allowed here"),
        ("kind: Tool\nid: a\nspec: {[1]: 2}", "3: spec: a field name must be plain text"),
        ("kind: Agent\nid: a\nspec: {tools: x}", "3: spec.tools: must be a list"),
        (
            "kind: Agent\nid: a\nspec:\n  tools:\n  - t\n  - null\n",
            "6: spec.tools[1]: has no value: leave the entry out",
        ),
        ('kind: Agent\nid: "a\\ud83d"', "2: not YAML: half a surrogate pair is no character"),
        (
            "kind: Model\nid: m\nspec: {cache_ttl: 99999999999d}",
            "3: spec.cache_ttl: '99999999999d' is longer than a duration can be",
        ),
        (
            f"kind: Agent\nid: a\nspec: {{max_rounds: {'1' * 5000}}}",
            "3: spec.max_rounds: has too many digits, it is not between 0 and 4294967295",
        ),
    ],
)
def test_the_outer_form_is_checked_too(text: str, expected: str) -> None:
    assert problems(text) == [f"team.yaml:{expected}"]


def test_two_choices_of_one_oneof_are_a_problem() -> None:
    assert problems("""
        kind: Provider
        id: both
        spec:
          builtin: {}
          openai: {}
    """) == ['team.yaml:6: spec.openai: cannot stand beside "builtin": only one of them can be set']


def test_the_same_resource_in_two_files_is_a_problem() -> None:
    text = "kind: Agent\nid: scout\n"
    loaded = load([("a.yaml", text), ("b.yaml", f"# copied\n{text}")])
    assert [str(problem) for problem in loaded.problems] == [
        "b.yaml:2: id: Agent scout stands at a.yaml:1 already"
    ]


@pytest.mark.parametrize("nesting", [66, 1000])
def test_json_fields_may_not_be_nested_without_end(nesting: int) -> None:
    schema = "[" * nesting + "]" * nesting
    (found,) = problems(f"{{kind: Tool, id: t, spec: {{json_schema: {schema}}}}}")
    assert "nested" in found


def test_a_violation_of_the_registry_is_led_back_to_its_line() -> None:
    # given two resources of a file
    loaded = manifests("""
        kind: Agent
        id: first
        ---
        kind: ModelPool
        id: second
        spec:
          members:
            - model_id: a
            - model_id: b
    """)

    # when the registry finds something wrong with parts of the second, and with the whole
    places = {
        "resources[1].model_pool.members[1].model_id": (
            "team.yaml:10: ModelPool second: spec.members[1].model_id"
        ),
        "resources[1].model_pool.members[1].weight": (
            "team.yaml:10: ModelPool second: spec.members[1].weight"
        ),
        "resources[1].model_pool.routing.home": "team.yaml:5: ModelPool second: spec.routing.home",
        "resources[0].agent.id": "team.yaml:2: Agent first: id",
        "resources[1]": "team.yaml:5: ModelPool second",
        "expected_version": "expected_version",
    }
    told = {name: str(loaded.locate(Violation(name, "is wrong"))) for name in places}

    # then each names the line of what was written, or of what it is part of
    assert told == {name: f"{place}: is wrong" for name, place in places.items()}


def filled(message: Message, fields: str) -> tuple[Message, list[str]]:
    """Any message of the contracts can be written this way, not only resources."""
    node = yaml.compose(fields, Loader=yaml.SafeLoader)
    filling = MessageFiller("any.yaml")
    filling.message(node, message, "", "")
    return message, [str(problem) for problem in filling.problems]


def test_times_bytes_and_nested_enums_are_written_as_people_write_them() -> None:
    run, problems = filled(
        runcontrol_pb2.Run(),
        "{create_time: 2026-01-31T12:00:00Z, spec_digest: aGk=, state: running, step: -3}",
    )
    assert problems == []
    assert run == runcontrol_pb2.Run(
        create_time=Timestamp(seconds=1769860800),
        spec_digest=b"hi",
        state=runcontrol_pb2.Run.STATE_RUNNING,
        step=-3,
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("{create_time: 2026-01-31T12:00:00}", "is no time with a zone"),
        ("{create_time: yesterday}", "is no time with a zone"),
        ("{create_time: {}}", "must be a single value"),
        ("{spec_digest: '?'}", "is no base64 text"),
        ("{rounds: 1.5}", "is no whole number"),
        ("{waiting_reasons: {}}", "must be a list"),
        ("{waiting_reasons: [1]}", "must be a mapping of fields"),
        ("{state: done, state: done}", "is written twice"),
    ],
)
def test_what_people_get_wrong_in_them_is_told(fields: str, problem: str) -> None:
    (found,) = filled(runcontrol_pb2.Run(), fields)[1]
    assert problem in found


def test_numbers_and_truth_values_are_checked() -> None:
    sampling, problems = filled(pb.Sampling(), "{temperature: warm, top_p: 0.5, stop: [a, 1]}")
    capabilities, more = filled(pb.ModelCapabilities(), "{tools: 'true', json_schema: true}")
    assert problems == ["any.yaml:1: temperature: 'warm' is no number"]
    assert sampling == pb.Sampling(top_p=0.5, stop=["a", "1"])
    assert more == ["any.yaml:1: tools: 'true' is neither true nor false"]
    assert capabilities == pb.ModelCapabilities(json_schema=True)


def test_yaml_in_a_json_field_keeps_the_types_of_json() -> None:
    found = resource("""
        kind: Tool
        id: t
        spec:
          json_schema: {a: null, b: [1, 2.5, .inf, 010, 2025-01-31, "x"], c: {d: false}}
    """)
    assert json.loads(found.tool.json_schema) == {
        "a": None,
        "b": [1, 2.5, ".inf", 10, "2025-01-31", "x"],
        "c": {"d": False},
    }


def test_a_key_of_a_json_field_must_be_text() -> None:
    (found,) = problems("{kind: Tool, id: t, spec: {json_schema: {[1]: 2}}}")
    assert found.endswith("a key must be plain text")


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{<<: {a: 1}, b: 2}", "merge keys (<<) are not supported"),
        ("{a: {b: 1, b: 2}}", '"b" is written twice'),
    ],
)
def test_what_would_get_lost_in_a_json_field_is_a_problem(schema: str, problem: str) -> None:
    (found,) = problems(f"{{kind: Tool, id: t, spec: {{json_schema: {schema}}}}}")
    assert found.endswith(problem)


def test_a_character_may_be_escaped_in_two_halves() -> None:
    """As JSON does, which is YAML too."""
    found = resource('{"kind": "Agent", "id": "\\ud83d\\ude80", "spec": {"model_id": "m"}}')
    assert found.agent.id == "🚀"


def test_violations_are_told_in_the_order_of_the_files() -> None:
    # given twelve tools on a line each, and violations in the order of their text
    text = "\n---\n".join(f"{{kind: Tool, id: t{n}}}" for n in range(12))
    manifests = load([("team.yaml", text)])
    fields = ("agent/a", "resources[10].tool", "resources[2].tool")

    # when
    found = manifests.locate_all(Violation(field, "is wrong") for field in fields)

    # then
    assert list(map(str, found)) == [
        "team.yaml:5: Tool t2: is wrong",
        "team.yaml:21: Tool t10: is wrong",
        "agent/a: is wrong",
    ]
