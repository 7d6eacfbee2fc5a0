"""Putting the frames of a watch together, and telling when they do not fit."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.wire import snapshot
from tests.support.registry_resources import agent, model, pool, provider, tool

Frame = service_pb.WatchSnapshotResponse


def frame(part: int, **fields: object) -> Frame:
    values: dict[str, object] = {"incarnation": "i", "from_version": 3, "to_version": 5}
    return Frame(part=part, **(values | fields))  # type: ignore[arg-type]  # fields of a frame


def test_parts_follow_each_other() -> None:
    first = frame(0)

    snapshot.check_part(first, [])
    snapshot.check_part(frame(1), [first])
    snapshot.check_part(frame(2, last_part=True), [first, frame(1)])


@pytest.mark.parametrize("number", [0, 2])
def test_a_missing_or_repeated_part_breaks_the_watch(number: int) -> None:
    with pytest.raises(snapshot.BrokenWatchError, match="after 1 part"):
        snapshot.check_part(frame(number), [frame(0)])


@pytest.mark.parametrize(
    "other", [{"from_version": 4}, {"to_version": 6}, {"incarnation": "j"}, {"lineage": "l"}]
)
def test_parts_of_different_changes_break_the_watch(other: dict[str, object]) -> None:
    with pytest.raises(snapshot.BrokenWatchError, match="different"):
        snapshot.check_part(frame(1, **other), [frame(0)])


def test_a_watch_does_not_begin_in_the_middle() -> None:
    with pytest.raises(snapshot.BrokenWatchError):
        snapshot.check_part(frame(1), [])


def test_items_of_all_parts_are_one_change() -> None:
    # given
    gone = pb.ResourceRef(kind=pb.RESOURCE_KIND_TOOL, id="old")
    unknown = pb.Resource()  # of a kind that a later version knows
    parts = [
        frame(0, items=[service_pb.SnapshotItem(upserted=provider("p"))]),
        frame(
            1,
            items=[
                service_pb.SnapshotItem(removed=gone),
                service_pb.SnapshotItem(upserted=unknown),
                service_pb.SnapshotItem(upserted=agent("a")),
            ],
        ),
    ]

    # when
    upserts, removed = snapshot.items_of(parts)

    # then
    assert upserts == {(1, "p"): provider("p"), (4, "a"): agent("a")}
    assert removed == [(5, "old")]


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        (provider("x"), pb.RESOURCE_KIND_PROVIDER),
        (model("x"), pb.RESOURCE_KIND_MODEL),
        (pool("x"), pb.RESOURCE_KIND_MODEL_POOL),
        (agent("x"), pb.RESOURCE_KIND_AGENT),
        (tool("x"), pb.RESOURCE_KIND_TOOL),
    ],
)
def test_every_kind_has_a_key(resource: pb.Resource, kind: int) -> None:
    assert snapshot.key_of(resource) == (kind, "x")


def test_being_behind_says_how_far_and_when_to_come_back() -> None:
    error = snapshot.SnapshotBehindError.of(7, 4, "", "01a")

    assert error.metadata == {"wanted": "7", "current": "4"}
    assert error.message == "registry version 7 has not arrived, 4 is the newest here"
    assert error.retry_after_s == 0.5


@pytest.mark.parametrize(
    ("here", "text"),
    [
        ("01a", "registry version 7 has not arrived, 4 is the newest here"),
        ("02b", "the registry's incarnation 01a has not arrived, this is of incarnation 02b"),
        ("", "the registry's incarnation 01a has not arrived, this is of none"),
    ],
)
def test_being_behind_names_the_incarnation_that_was_asked_for(here: str, text: str) -> None:
    error = snapshot.SnapshotBehindError.of(7, 4, "01a", here)

    assert error.message == text
    assert error.metadata == {
        "wanted": "7",
        "current": "4",
        "wanted_incarnation": "01a",
        "current_incarnation": here,
    }
