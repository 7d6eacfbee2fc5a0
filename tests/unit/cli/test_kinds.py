"""The names of kinds, as people write them."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.manifests import kinds
from services.cli.manifests.kinds import AGENT, MODEL, POOL, PROVIDER, TOOL, Kind
from services.cli.registry.completion import complete_kinds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("provider", PROVIDER),
        ("Providers", PROVIDER),
        ("model", MODEL),
        ("MODELS", MODEL),
        ("pool", POOL),
        ("pools", POOL),
        ("model-pool", POOL),
        ("model_pools", POOL),
        ("ModelPool", POOL),
        ("agent", AGENT),
        ("tools", TOOL),
    ],
)
def test_a_kind_has_many_names(text: str, kind: Kind) -> None:
    assert kinds.kind_named(text) is kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agnet", 'unknown kind "agnet", did you mean "agent"?'),
        ("modelpol", 'unknown kind "modelpol", did you mean "modelpool"?'),
        ("zebra", 'unknown kind "zebra"'),
        ("", 'unknown kind ""'),
    ],
)
def test_an_unknown_kind_names_the_nearest(text: str, message: str) -> None:
    with pytest.raises(CliError) as raised:
        kinds.kind_named(text)
    assert raised.value.message == message
    assert raised.value.exit_code == EXIT_USAGE
    assert raised.value.hint == "the kinds are provider, model, model_pool, agent, tool"


def test_a_resource_can_be_named_as_listings_name_it() -> None:
    # an id may hold a slash itself, a kind may not
    assert kinds.kind_and_ids("pool/a/b", ["c"]) == (POOL, ["a/b", "c"])
    assert kinds.kind_and_ids("pool", ["a/b"]) == (POOL, ["a/b"])


def test_every_kind_of_the_contract_is_known() -> None:
    members = [field.name for field in pb.Resource.DESCRIPTOR.oneofs_by_name["resource"].fields]
    assert [kind.member for kind in kinds.KINDS] == members
    assert [kind.number for kind in kinds.KINDS] == sorted(set(pb.ResourceKind.values()) - {0})


def test_a_resource_of_a_newer_registry_has_no_kind_here() -> None:
    unknown = pb.Resource()
    assert kinds.kind_of(unknown) is None
    assert kinds.id_of(unknown) == ""
    assert kinds.named(pb.ResourceRef(kind=99, id="x")) == "99/x"  # type: ignore[arg-type]  # a newer one


def test_kinds_complete_without_a_server() -> None:
    assert complete_kinds("") == ["provider", "model", "pool", "agent", "tool"]
    assert complete_kinds("P") == ["provider", "pool"]
    assert complete_kinds("x") == []
