"""Only what nothing refers to may go, and who is in the way is told as far as an answer carries."""

from __future__ import annotations

import pytest

from services.registry.core.changes.deleting import check_deletable
from services.registry.core.errors import ResourceInUseError, ResourceNotFoundError
from services.registry.core.refs import Kind, Ref

MODEL = Ref(Kind.MODEL, "m")


def refused(dependents: list[Ref]) -> ResourceInUseError:
    with pytest.raises(ResourceInUseError) as caught:
        check_deletable(MODEL, [MODEL], dependents)
    return caught.value


def test_what_nothing_refers_to_may_go() -> None:
    check_deletable(MODEL, [MODEL], [])


def test_what_is_not_there_is_not_found() -> None:
    """Also when an id of the same namespace has dependents."""
    with pytest.raises(ResourceNotFoundError) as caught:
        check_deletable(MODEL, [], [Ref(Kind.AGENT, "a")])

    assert (caught.value.metadata["kind"], caught.value.metadata["id"]) == ("model", "m")


def test_every_dependent_is_named_by_kind() -> None:
    error = refused([Ref(Kind.AGENT, "b"), Ref(Kind.MODEL_POOL, "x"), Ref(Kind.AGENT, "a")])

    assert error.metadata == {
        "kind": "model",
        "id": "m",
        "model_ids": "",
        "model_count": "0",
        "pool_ids": "x",
        "pool_count": "1",
        "agent_ids": "a\nb",
        "agent_count": "2",
    }
    assert str(error) == (
        "model/m is referred to by 0 model(s), 1 pool(s) and 2 agent(s): x; a,b; "
        "remove or change those first"
    )


def test_a_long_list_is_cut_and_counted_and_leaves_room_for_the_short_one() -> None:
    # given 100 agents of ten bytes and one pool with the longest id there is
    agents = [Ref(Kind.AGENT, f"agent{n:05}") for n in range(100)]
    pool = Ref(Kind.MODEL_POOL, "p" * 300)

    # when
    metadata = refused([*agents, pool]).metadata

    # then
    assert metadata["pool_ids"] == "p" * 300
    assert metadata["agent_count"] == "100"
    assert metadata["agent_ids"].split("\n") == [f"agent{n:05}" for n in range(45)]
    assert sum(map(len, metadata.values())) < 1000


def test_long_lists_share_the_room() -> None:
    kinds = (Kind.MODEL, Kind.MODEL_POOL, Kind.AGENT)

    metadata = refused([Ref(kind, f"{n:09}") for kind in kinds for n in range(100)]).metadata

    named = [metadata[f"{kind}_ids"].split("\n") for kind in ("model", "pool", "agent")]
    assert [len(names) for names in named] == [26, 27, 27]


def test_names_that_do_not_fit_together_are_counted() -> None:
    every = [Ref(kind, "x" * 512) for kind in (Kind.MODEL, Kind.MODEL_POOL, Kind.AGENT)]

    metadata = refused(every).metadata

    named = [metadata[f"{kind}_ids"] for kind in ("model", "pool", "agent")]
    assert sorted(map(len, named)) == [0, 0, 512]
    assert [metadata[f"{kind}_count"] for kind in ("model", "pool", "agent")] == ["1", "1", "1"]
