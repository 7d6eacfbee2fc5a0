"""Which versions there are, how they differ, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from tests.contract.registry.calls import Client, named, refused, unmet
from tests.support.clock import ManualClock
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

SERVICE = "runyard.registry.v1.RegistryService"


async def hash_of(registry: Client, version: int) -> str:
    return (await registry.snapshot(version))[0].content_hash


async def test_versions_are_listed_newest_first(registry: Client, clock: ManualClock) -> None:
    # given two versions, a minute apart
    await registry.apply(*quickstart())
    clock.advance(60)
    await registry.apply(provider("local", timeout={"seconds": 9}))

    # when
    listed = (await registry.versions()).versions

    # then
    assert [one.version for one in listed] == [3, 2, 1]
    assert [one.change_count for one in listed] == [1, 5, 0]
    assert [one.created_by for one in listed] == ["local", "local", ""]
    assert [one.method for one in listed] == [f"{SERVICE}/ApplyResources"] * 2 + [""]
    assert listed[0].create_time.ToSeconds() - listed[1].create_time.ToSeconds() == 60
    assert not any(one.HasField("restored_from") for one in listed)


async def test_every_version_has_the_hash_of_its_snapshot(registry: Client) -> None:
    # given content that changes, changes back, and goes
    await registry.apply(*quickstart())
    await registry.apply(provider("local", timeout={"seconds": 9}))
    await registry.apply(provider("local"))
    await registry.apply(provider("odd\u00e9 🚀"), apply_set="s")
    await registry.apply(apply_set="s", prune=True)

    # when
    listed = (await registry.versions()).versions

    # then
    assert [one.content_hash for one in listed] == [
        await hash_of(registry, one.version) for one in listed
    ]
    assert listed[0].content_hash == listed[2].content_hash == listed[4].content_hash
    assert len({one.content_hash for one in listed}) == 4


async def test_pages_of_versions_join_while_others_are_published(registry: Client) -> None:
    # given five versions
    for number in range(4):
        await registry.apply(provider(f"p{number}"))

    # when they are read two by two, and one more comes after the first page
    first = await registry.versions(page_size=2)
    await registry.apply(provider("late"))
    second = await registry.versions(page_size=2, page_token=first.next_page_token)
    third = await registry.versions(page_size=2, page_token=second.next_page_token)

    # then
    pages = [[one.version for one in page.versions] for page in (first, second, third)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert third.next_page_token == ""


async def test_a_diff_says_what_happened_to_which_field(registry: Client) -> None:
    # given version 2, and a version 3 that creates, updates and removes
    await registry.apply(*quickstart(), provider("goes"), apply_set="s")
    changed = [one for one in quickstart() if one.WhichOneof("resource") != "tool"]
    changed[1] = model(upstream_model="better")
    await registry.apply(*changed, tool("search"), tool("new"), apply_set="s", prune=True)

    # when
    answer = await registry.diff(from_version=2)

    # then
    assert answer.to_version == 3
    assert named(answer.changes) == [("removed", "goes"), ("updated", "small"), ("created", "new")]
    (field,) = answer.changes[1].fields
    told = (field.path, field.before, field.after)
    assert told == ("upstream_model", '"upstream"', '"better"')
    assert {field.after for field in answer.changes[0].fields} == {""}
    assert {field.before for field in answer.changes[2].fields} == {""}


async def test_a_diff_backwards_is_what_a_rollback_would_do(registry: Client) -> None:
    # given
    await registry.apply(provider("stays"), provider("goes"), apply_set="s")
    await registry.apply(provider("stays"), provider("comes"), apply_set="s", prune=True)

    # when
    forwards = await registry.diff(from_version=2, to_version=3)
    backwards = await registry.diff(from_version=3, to_version=2)
    restored = await registry.roll_back(version=2)

    # then
    assert named(forwards.changes) == [("created", "comes"), ("removed", "goes")]
    assert named(backwards.changes) == [("removed", "comes"), ("created", "goes")]
    assert named(restored.changes) == named(backwards.changes)


async def test_what_changed_and_changed_back_does_not_differ(registry: Client) -> None:
    # given one that changed and changed back, one that came and went, one that went and came back
    await registry.apply(provider("back"), provider("again"))
    await registry.apply(provider("back", timeout={"seconds": 1}), provider("passing"))
    for name in ("passing", "again"):
        await registry.delete("provider", name)
    await registry.apply(provider("back"), provider("again"))

    # then
    assert list((await registry.diff(from_version=2)).changes) == []
    assert list((await registry.diff(from_version=6, to_version=2)).changes) == []
    assert list((await registry.diff(from_version=4, to_version=4)).changes) == []
    changes = (await registry.diff(from_version=2, to_version=3)).changes
    assert named(changes) == [("updated", "back"), ("created", "passing")]


async def test_pages_of_a_diff_belong_to_one_pair_of_versions(registry: Client) -> None:
    # given five changes
    await registry.apply(*(provider(f"p{number}") for number in range(5)))

    # when they are read two by two up to the current version, which moves after the first page
    first = await registry.diff(from_version=1, page_size=2)
    await registry.apply(provider("p4", timeout={"seconds": 1}), provider("p5"))
    pages = [first]
    while token := pages[-1].next_page_token:
        pages.append(await registry.diff(from_version=1, page_size=2, page_token=token))

    # then
    found = [[change.ref.id for change in page.changes] for page in pages]
    assert found == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert {page.to_version for page in pages} == {2}


async def test_a_page_of_a_diff_is_cut_by_size(registry: Client) -> None:
    """Ten prompts of half a megabyte: what differs is shown cut, what is read is bounded."""
    # given
    await registry.apply(provider(), model())
    await registry.apply(*(agent(f"a{n}", system_prompt="x" * 500_000) for n in range(10)))
    await registry.apply(*(agent(f"a{n}", system_prompt="y" * 500_000) for n in range(10)))

    # when
    pages = [await registry.diff(from_version=3)]
    while token := pages[-1].next_page_token:
        pages.append(await registry.diff(from_version=3, page_token=token))

    # then
    assert [len(page.changes) for page in pages] == [1] * 10
    assert max(page.ByteSize() for page in pages) < 4 << 20
    (field,) = pages[0].changes[0].fields
    assert len(field.before) == 1024


async def test_more_fields_than_one_page_takes_are_truncated(registry: Client) -> None:
    # given two providers with 3,200 tool calls, each two fields with long paths, one a long value
    calls = [{"tool_id": "t" * 300}] * 40
    steps = [{"reply": {"tool_calls": calls}}] * 80
    await registry.apply(provider("a", builtin={"steps": steps}), provider("b"))
    await registry.apply(provider("b", builtin={"steps": steps}))

    # when
    first = await registry.diff(from_version=1)
    second = await registry.diff(from_version=1, page_token=first.next_page_token)

    # then each fills a page of its own and says that it is not all
    found = [named(page.changes) for page in (first, second)]
    assert found == [[("created", "a")], [("created", "b")]]
    assert first.changes[0].fields_truncated
    assert first.ByteSize() < 2 << 20


async def test_a_rollback_is_a_higher_version_with_the_old_content(registry: Client) -> None:
    # given version 2, and a version 3 that differs in everything
    await registry.apply(*quickstart(), apply_set="demo")
    before = await hash_of(registry, 2)
    await registry.apply(provider("other"), apply_set="demo", prune=True)

    # when
    answer = await registry.roll_back(version=2)

    # then
    assert answer.version == 4
    assert answer.incarnation
    assert named(answer.changes) == [
        ("created", "local"),
        ("removed", "other"),
        ("created", "small"),
        ("created", "both"),
        ("created", "scout"),
        ("created", "search"),
    ]
    newest = (await registry.versions(page_size=1)).versions[0]
    assert (newest.version, newest.restored_from, newest.change_count) == (4, 2, 6)
    assert newest.content_hash == before
    assert newest.method == f"{SERVICE}/Rollback"
    listed = await registry.list_resources(apply_set="demo")
    assert len(listed.resources) == 5


async def test_a_rollback_brings_marks_back(registry: Client) -> None:
    """Whoever owned a resource has to find it when it prunes."""
    # given one of a set that was taken over by another and changed, and one that only changed hands
    await registry.apply(provider("a"), provider("b"), apply_set="ours")
    await registry.apply(provider("a", timeout={"seconds": 1}), provider("b"), apply_set="theirs")

    # when
    await registry.roll_back(version=2)

    # then the old content has the old mark; what did not change keeps the mark it has
    listed = (await registry.list_resources()).resources
    marks = [(one.provider.id, one.meta.apply_set) for one in listed]
    assert marks == [("a", "ours"), ("b", "theirs")]
    # and one that had none has none again
    await registry.apply(provider("c"))
    await registry.apply(provider("c", timeout={"seconds": 1}), apply_set="ours")
    await registry.roll_back(version=5)
    listed = (await registry.list_resources()).resources
    assert listed[2].meta.apply_set == ""


async def test_references_follow_a_rollback(registry: Client) -> None:
    # given a model that an agent needed, then needed no more
    await registry.apply(provider(), model("old"), model("new"), agent(model_id="old"))
    await registry.apply(agent(model_id="new"))
    await registry.roll_back(version=2)

    # when each of them is deleted
    used = await refused(registry.delete("model", "old"))
    deleted = await registry.delete("model", "new")

    # then
    assert (used.reason, used.metadata["agent_ids"]) == ("RESOURCE_IN_USE", "scout")
    assert deleted.version == 5


@pytest.mark.parametrize("version", [2, 4])
async def test_a_rollback_to_the_same_content_makes_no_version(
    registry: Client, version: int
) -> None:
    # given version 4, which has the content of version 2
    await registry.apply(provider("a"))
    await registry.apply(provider("a", timeout={"seconds": 1}))
    await registry.apply(provider("a"))

    # when
    answer = await registry.roll_back(version=version)

    # then
    assert (answer.version, list(answer.changes)) == (4, [])
    assert (await registry.versions()).versions[0].version == 4


async def test_a_rollback_can_be_rolled_back(registry: Client) -> None:
    await registry.publish("a", "b")
    _, before = await registry.everything()
    await registry.roll_back(version=1)
    assert (await registry.everything())[1] == {}

    answer = await registry.roll_back(version=3)

    assert answer.version == 5
    assert (await registry.everything())[1].keys() == before.keys()


async def test_a_rollback_compares_and_sets(registry: Client) -> None:
    await registry.publish("a", "b")

    facts = await refused(registry.roll_back(version=2, expected_version=2))
    answer = await registry.roll_back(version=2, expected_version=3)

    assert (facts.reason, facts.metadata["current"]) == ("VERSION_MISMATCH", "3")
    assert answer.version == 4


async def test_a_repeated_rollback_has_one_effect(registry: Client) -> None:
    # given
    await registry.publish("a", "b")

    # when it is sent four times at once, and again after another change
    same = {"version": 2, "request_id": "r-1"}
    answers = await asyncio.gather(*(registry.roll_back(**same) for _ in range(4)))
    await registry.apply(provider("c"))
    late = await registry.roll_back(**same)
    other = await refused(registry.roll_back(version=3, request_id="r-1"))

    # then
    assert [*answers, late] == [answers[0]] * 5
    assert answers[0].version == 4
    assert (await registry.versions()).versions[0].version == 5
    assert other.reason == "IDEMPOTENCY_CONFLICT"


async def test_rollbacks_among_applies_all_leave_a_valid_snapshot(registry: Client) -> None:
    """Sixteen writers at once: each version is one of theirs, and listing goes on meanwhile."""
    # given
    await registry.apply(*quickstart())
    await registry.apply(pool("second"), agent("other", model_id="second"))

    # when
    work: list[Any] = [registry.apply(provider(f"p{number}")) for number in range(8)]
    work += [registry.roll_back(version=2 + number % 2) for number in range(8)]
    pages = [registry.versions(page_size=3) for _ in range(8)]
    await asyncio.gather(*work, *pages)
    resources = (await registry.list_resources(page_size=1000)).resources

    # then no version is missing, and applying what is there changes nothing
    listed = (await registry.versions()).versions
    assert [one.version for one in listed] == list(range(len(listed), 0, -1))
    assert await registry.apply(*resources) == listed[0].version
    assert len(resources) >= 5


@pytest.mark.parametrize(
    "call",
    [
        lambda registry: registry.snapshot(7),
        lambda registry: registry.diff(from_version=7),
        lambda registry: registry.diff(from_version=1, to_version=7),
        lambda registry: registry.roll_back(version=7),
    ],
    ids=["GetSnapshot", "DiffVersions from", "DiffVersions to", "Rollback"],
)
async def test_a_version_that_never_was_is_not_found(
    registry: Client, call: Callable[[Client], Awaitable[object]]
) -> None:
    facts = await refused(call(registry))

    assert facts.code is grpc.StatusCode.NOT_FOUND
    assert facts.reason == "VERSION_NOT_FOUND"
    assert facts.metadata["version"] == "7"
    assert (facts.metadata["oldest"], facts.metadata["current"]) == ("1", "1")


async def test_versions_are_required(registry: Client) -> None:
    rollback = await refused(registry.roll_back(request_id="\x00"))
    compared = await refused(registry.diff(to_version=-1))

    assert unmet(rollback) == ["request_id", "version"]
    assert unmet(compared) == ["from_version", "to_version"]


@pytest.mark.parametrize("token", ["nonsense", "bm9uZQ==", "W10=", "é", "WyJ4IiwgMSwgMiwgMywgNF0="])
async def test_a_foreign_page_token_is_refused(registry: Client, token: str) -> None:
    listing = await refused(registry.versions(page_token=token))
    comparing = await refused(registry.diff(from_version=1, page_token=token))

    assert (unmet(listing), unmet(comparing)) == (["page_token"], ["page_token"])


async def test_a_page_token_belongs_to_its_query(registry: Client) -> None:
    # given tokens of both listings
    await registry.apply(provider("a"), provider("b"))
    await registry.apply(provider("c"))
    compared = await registry.diff(from_version=1, page_size=1)
    listed = await registry.versions(page_size=1)

    # when each is used for something else
    token = compared.next_page_token
    found = [
        await refused(registry.diff(from_version=2, page_token=token)),
        await refused(registry.diff(from_version=1, to_version=3, page_token=token)),
        await refused(registry.versions(page_token=token)),
        await refused(registry.diff(from_version=1, page_token=listed.next_page_token)),
    ]

    # then
    assert {facts.code for facts in found} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert [unmet(facts) for facts in found] == [["page_token"]] * 4
