"""From resources to manifests: read back, every one of them is what it was."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

import pytest
import yaml
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.manifests.defaults import defaulted_fields
from services.cli.manifests.resources import load
from services.cli.manifests.writing import document_of, duration_text, manifest_text
from services.registry.api.resources.codec import resource_to_pb, resources_from_pb
from services.registry.core.canonical import normalised
from services.registry.core.model import Resource
from tests.support.registry_resources import agent, pool, provider, tool
from tests.support.registry_strategies import resources

# Everything that is text, and much of it what YAML could take for something else.
_PIECES = ("a", " ", "\n", "\t", "  b ", "#", ": ", "- ", "'", '"', "\\", "\r", "🚀", "%")
_ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_TEXTS = _ANY_TEXT | st.lists(st.sampled_from(_PIECES)).map("".join)
ODD = (
    # what reads as no value, a truth value, a number or a time
    *("null", "~", "true", "yes", "Y", "off"),
    *("010", "0o7", "0x1f", "1e3", "1.5", ".5", "2026-01-31", "12:30:45"),
    # what YAML gives a meaning
    *("-", "--- ", "...", "=", "<<", "a: b", "#x", "x #y", "@x", "%x", "'", '"', "\\"),
    *("{}", "[a", "!x", "&x", "*", "|", ">", "?"),
    # other characters than those of names, and blanks
    *("a/b", "🚀/%", " x", "x ", "\u00a0x", "\ufeffx"),
)
TEXTS = (
    "one\ntwo\n",
    "one\ntwo",
    "\n",
    "\n\n",
    "\nx",
    "x\n\n\ny\n\n",
    "trailing  \nblanks\t\n",
    "  indented\nfirst line\n",
    "a\r\nb\rc",
    "a\u0085b\u2028c\u2029d",
    "\x00\x07\x1b[31m\x7f",
    "--- \n...\n# no comment\nkey: value\n",
    "long " * 400,
    "long\n" + "word " * 400,
)


def read_back(text: str) -> list[pb.Resource]:
    loaded = load([("export.yaml", text)])
    assert list(map(str, loaded.problems)) == []
    return loaded.resources


def as_registered(messages: list[pb.Resource]) -> list[pb.Resource]:
    """What a registry would hold after applying them."""
    submitted, violations = resources_from_pb(messages)
    assert violations == ()
    return [resource_to_pb(normalised(item.resource)) for item in submitted]


@given(resources())
def test_a_resource_is_read_back_as_it_was(resource: Resource) -> None:
    # given what a registry holds
    held = resource_to_pb(normalised(resource))

    # when it is written in full and without what goes without saying
    full, short = manifest_text([held], full=True), manifest_text([held])

    # then both mean the same, and what is read is written the same again
    assert read_back(full) == [held]
    assert as_registered(read_back(short)) == [held]
    assert manifest_text(as_registered(read_back(short))) == short
    assert len(short) <= len(full)


@given(_TEXTS, _TEXTS)
def test_every_text_is_read_back_to_the_letter(id_: str, prompt: str) -> None:
    held = agent(f"x{id_}", system_prompt=prompt)
    assert read_back(manifest_text([held])) == [held]


@pytest.mark.parametrize("id_", ODD)
def test_an_odd_id_is_read_back_by_us_and_by_other_readers(id_: str) -> None:
    held = agent(id_, model_id=id_, tools=[id_])

    # when
    text = manifest_text([held])

    # then the document is text in every place, whoever reads it
    assert read_back(text) == [held]
    plain = yaml.safe_load(text)
    assert (plain["id"], plain["spec"]["model_id"], plain["spec"]["tools"]) == (id_, id_, [id_])


@pytest.mark.parametrize("prompt", TEXTS)
def test_a_text_of_many_lines_is_read_back_to_the_last_blank(prompt: str) -> None:
    held = agent(system_prompt=prompt, sampling={"stop": [prompt]})
    text = manifest_text([held])
    assert read_back(text) == [held]
    assert yaml.safe_load(text)["spec"]["system_prompt"] == prompt


def test_a_manifest_is_written_as_people_write_it() -> None:
    # given a pool of which little was chosen, and an agent with a long prompt
    chosen = pool("narration", ["small", "large"], switch=pb.PoolSwitch(max_switches_per_session=0))
    chosen.model_pool.members[1].role = pb.POOL_MEMBER_ROLE_FAILOVER_ONLY
    chosen.model_pool.clocks.total.seconds = 90
    prompt = "You tell stories.\n\nVery short ones.\n"
    held = as_registered([chosen, agent("010", "narration", system_prompt=prompt)])

    # when
    text = manifest_text(held)

    # then
    assert text == textwrap.dedent("""\
        kind: ModelPool
        id: narration
        spec:
          members:
            - model_id: small
            - model_id: large
              role: failover_only
          switch:
            max_switches_per_session: 0
          clocks:
            total: 90s
        ---
        kind: Agent
        id: '010'
        spec:
          model_id: narration
          system_prompt: |
            You tell stories.

            Very short ones.
        """)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1e3", "'1e3'"),  # text to us, a number to newer readers of YAML
        ("0o7", "'0o7'"),
        ("Y", "'Y'"),
        ("1e3x", "1e3x"),
        ("a  \nb\n", r'"a  \nb\n"'),  # a blank at the end of a line is not seen in a block
        (" a\nb", r'" a\nb"'),
        ("a\tb", r'"a\tb"'),
    ],
)
def test_what_could_be_mistaken_is_quoted(text: str, written: str) -> None:
    found = manifest_text([agent(model_id="m", system_prompt=text)])
    assert found.endswith(f"  system_prompt: {written}\n")


def test_in_full_it_says_everything_that_holds() -> None:
    (held,) = as_registered([tool("search")])
    assert document_of(held, full=True)["spec"] == {
        "effect_class": "at_most_once",
        "approval": "allow",
        "worker": {},
        "timeout": "60s",
    }


def test_an_empty_part_that_says_something_is_written() -> None:
    (held,) = as_registered([provider("p", openai=pb.OpenAiAdapter())])
    assert document_of(held)["spec"] == {"openai": {}}


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ('{"type": "object", "a": [1, 2.5, null, true, "010"]}', dict),
        ('{"type":"object"}', str),  # other blanks than ours
        ('{"a": 1, "a": 2}', str),
        ('{"a": 1e3}', str),
        ('{"a": NaN}', str),
        ('{"a": "🚀"}', str),  # which we write as an escape
        ('{"a": "\\ud83d\\ude80"}', dict),
        ("{" * 5, str),
        ("[" * 2000 + "]" * 2000, str),
    ],
)
def test_json_text_is_yaml_only_where_not_a_blank_gets_lost(schema: str, written: type) -> None:
    held = tool("t", json_schema=schema)
    assert type(document_of(held)["spec"]["json_schema"]) is written
    assert read_back(manifest_text([held])) == [held]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS, st.lists))
def test_any_json_text_is_read_back_to_the_letter(value: object) -> None:
    held = tool("t", json_schema=json.dumps({"a": value}))
    assert read_back(manifest_text([held])) == [held]


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (Duration(seconds=30), "30s"),
        (Duration(seconds=0), "0s"),
        (Duration(nanos=100_000_000), "0.1s"),
        (Duration(seconds=86_400, nanos=1_000), "86400.000001s"),
        (Duration(seconds=-1, nanos=-500_000_000), "-1.5s"),
    ],
)
def test_a_duration_is_written_exactly(duration: Duration, text: str) -> None:
    assert duration_text(duration) == text


MINIMAL = "\n---\n".join(
    (
        "{kind: Provider, id: builtin, spec: {builtin: {}}}",
        "{kind: Provider, id: openai, spec: {openai: {}}}",
        "{kind: Provider, id: anthropic, spec: {anthropic: {}}}",
        "{kind: Provider, id: grpc, spec: {grpc: {}, base_url: 'host:1'}}",
        "{kind: Model, id: model, spec: {provider_id: builtin, upstream_model: m, prices: {}}}",
        "{kind: ModelPool, id: pool, spec: {members: [{model_id: model}]}}",
        "{kind: Agent, id: local, spec: {model_id: pool}}",
        "{kind: Agent, id: remote, spec: {endpoint: {base_url: 'https://agents.example'}}}",
        "{kind: Tool, id: worker, spec: {worker: {}}}",
        "{kind: Tool, id: builtin, spec: {builtin: pool_send}}",
    )
)


def test_every_default_is_what_the_registry_fills_in_and_no_other() -> None:
    # given one resource of every sort of which as little as possible was said
    written = list(yaml.safe_load_all(MINIMAL))

    # when a registry has filled in the rest
    held = as_registered(read_back(MINIMAL))

    # then leaving out the defaults leaves what was said
    assert [document_of(one) for one in held] == written
    # and each of them was filled in somewhere
    filled = {name for one in held for name in fields_of(one)}
    assert defaulted_fields() - filled == set()


def fields_of(message: Message) -> Iterator[str]:
    """``Message.field`` of everything that is set."""
    for field, value in message.ListFields():
        yield f"{field.containing_type.name}.{field.name}"
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from fields_of(inner)


def test_what_has_no_kind_here_has_no_manifest() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        document_of(pb.Resource())
