"""The plain form of a resource: its hash, and the fields in which two contents differ."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from services.registry.core import model as m
from services.registry.core.canonical import FieldChange, content_hash, field_changes, plain
from services.registry.core.executors import BuiltinTool
from services.registry.core.model import Agent, Model, ModelPool, PoolMember, Provider, Resource
from services.registry.core.refs import Kind, Ref
from tests.support.memory_registry import snapshot_hash
from tests.support.registry_strategies import resources

POOL = ModelPool("both", (PoolMember("a"), PoolMember("b", 2)))


def test_the_plain_form_has_the_paths_of_the_contract() -> None:
    """Arms of a oneof appear under their own name, and what is absent does not appear."""
    provider = Provider("p", m.OpenAiAdapter(project="x"), credential_ref=m.EnvCredential("KEY"))

    assert plain(provider) == {
        "id": "p",
        "openai": {
            "organization": "",
            "project": "x",
            "token_limit_field": "max_tokens",
            "stream_usage": True,
            "headers": [],
        },
        "base_url": "",
        "credential_ref": {"env": "KEY"},
        "timeout": "300s",
    }
    assert plain(m.Tool("t", BuiltinTool.ASK_HUMAN)) == {
        "id": "t",
        "builtin": "ask_human",
        "description": "",
        "json_schema": "",
        "approval": "allow",
    }


def test_a_hash_stays_the_same_for_ever() -> None:
    """A release that changed it would make every resource look changed."""
    assert content_hash(Model("m", "p", "u")).hex() == (
        "a12b9c3d1a078215295c1ccc1d03522ba098b9df42f5aa776d7c5be1b107ff0b"
    )
    assert content_hash(POOL).hex() == (
        "6afdb8b41cc3211701fb0dac8895954d3e654be2e9023ef3b825b4409fa82173"
    )


def test_kinds_with_equal_fields_have_different_hashes() -> None:
    """An agent without anything and a tool are told apart by their fields."""
    assert content_hash(Agent("x", "y")) != content_hash(Model("x", "y", ""))


@given(resources(), resources())
def test_equal_content_and_equal_hash_are_the_same_thing(one: Resource, other: Resource) -> None:
    assert (one == other) == (content_hash(one) == content_hash(other))


def test_a_snapshot_hash_depends_on_kind_id_and_content() -> None:
    entry = (Ref(Kind.MODEL, "m"), b"1" * 32)
    different = [
        (),
        (entry,),
        ((Ref(Kind.MODEL_POOL, "m"), b"1" * 32),),
        ((Ref(Kind.MODEL, "n"), b"1" * 32),),
        ((Ref(Kind.MODEL, "m"), b"2" * 32),),
        (entry, entry),
    ]

    assert len({snapshot_hash(entries) for entries in different}) == 6
    assert len(snapshot_hash(())) == 32


def test_equal_contents_have_no_changes() -> None:
    assert field_changes(POOL, replace(POOL)) == []


def test_a_change_is_shown_at_its_path() -> None:
    # when a weight changes, a member comes and a clock is set
    after = replace(
        POOL,
        members=(PoolMember("a"), PoolMember("b", 5), PoolMember("c")),
        clocks=m.PoolClocks(total=timedelta(seconds=5, microseconds=100)),
    )

    # then
    assert field_changes(POOL, after) == [
        FieldChange("clocks.total", "", '"5.0001s"'),
        FieldChange("members[1].weight", "2", "5"),
        FieldChange("members[2].model_id", "", '"c"'),
        FieldChange("members[2].role", "", '"member"'),
        FieldChange("members[2].weight", "", "1"),
    ]


def test_a_new_resource_and_a_removed_one_show_every_field() -> None:
    agent = Agent("a", "m", tools=("t",))

    created = field_changes(None, agent)
    removed = field_changes(agent, None)

    assert FieldChange("tools[0]", "", '"t"') in created
    assert FieldChange("tools[0]", '"t"', "") in removed
    assert [c.path for c in created] == [c.path for c in removed]
    assert field_changes(None, None) == []


def test_an_emptied_list_is_a_change() -> None:
    changes = field_changes(Agent("a", "m", tools=("t",)), Agent("a", "m"))

    assert changes == [FieldChange("tools", "", "[]"), FieldChange("tools[0]", '"t"', "")]


def test_a_long_value_is_cut() -> None:
    (change,) = field_changes(Agent("a", "m"), Agent("a", "m", system_prompt="é" * 5000))

    assert change.path == "system_prompt"
    assert (change.before, len(change.after)) == ('""', 1024)


@pytest.mark.parametrize("value", [object(), 1j, {1, 2}])
def test_what_has_no_plain_form_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        plain(value)
