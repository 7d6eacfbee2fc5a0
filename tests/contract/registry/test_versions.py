"""Which versions there are, how they differ, and the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.streaming import streaming
from tests.contract.registry.calls import apply, everything, refused, unmet
from tests.support.clock import ManualClock
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

Action = service_pb.ChangeAction
SERVICE = "runyard.registry.v1.RegistryService"


async def versions(registry: RegistryServiceStub, **fields: Any) -> service_pb.ListVersionsResponse:
    return await registry.ListVersions(service_pb.ListVersionsRequest(**fields))


async def diff(registry: RegistryServiceStub, **fields: Any) -> service_pb.DiffVersionsResponse:
    return await registry.DiffVersions(service_pb.DiffVersionsRequest(**fields))


async def roll_back(registry: RegistryServiceStub, **fields: Any) -> service_pb.RollbackResponse:
    return await registry.Rollback(service_pb.RollbackRequest(**fields))


async def hash_of(registry: RegistryServiceStub, version: int) -> str:
    request = service_pb.GetSnapshotRequest(version=version)
    async with streaming(registry.GetSnapshot(request)) as parts:
        return (await anext(aiter(parts))).content_hash


def named(changes: Any) -> list[tuple[str, str]]:
    """What happened to which."""
    return [
        (Action.Name(change.action).removeprefix("CHANGE_ACTION_").lower(), change.ref.id)
        for change in changes
    ]


async def test_versions_are_listed_newest_first(
    registry: RegistryServiceStub, clock: ManualClock
) -> None:
    # given two versions, a minute apart
    await apply(registry, *quickstart())
    clock.advance(60)
    await apply(registry, provider("local", timeout={"seconds": 9}))

    # when
    listed = (await versions(registry)).versions

    # then
    assert [one.version for one in listed] == [3, 2, 1]
    assert [one.change_count for one in listed] == [1, 5, 0]
    assert [one.created_by for one in listed] == ["local", "local", ""]
    assert [one.method for one in listed] == [f"{SERVICE}/ApplyResources"] * 2 + [""]
    assert listed[0].create_time.ToSeconds() - listed[1].create_time.ToSeconds() == 60
    assert not any(one.HasField("restored_from") for one in listed)


async def test_every_version_has_the_hash_of_its_snapshot(registry: RegistryServiceStub) -> None:
    # given content that changes, changes back, and goes
    await apply(registry, *quickstart())
    await apply(registry, provider("local", timeout={"seconds": 9}))
    await apply(registry, provider("local"))
    await apply(registry, provider("odd\u00e9 🚀"), apply_set="s")
    await apply(registry, apply_set="s", prune=True)

    # when
    listed = (await versions(registry)).versions

    # then
    assert [one.content_hash for one in listed] == [
        await hash_of(registry, one.version) for one in listed
    ]
    assert listed[0].content_hash == listed[2].content_hash == listed[4].content_hash
    assert len({one.content_hash for one in listed}) == 4


async def test_pages_of_versions_join_while_others_are_published(
    registry: RegistryServiceStub,
) -> None:
    # given five versions
    for number in range(4):
        await apply(registry, provider(f"p{number}"))

    # when they are read two by two, and one more comes after the first page
    first = await versions(registry, page_size=2)
    await apply(registry, provider("late"))
    second = await versions(registry, page_size=2, page_token=first.next_page_token)
    third = await versions(registry, page_size=2, page_token=second.next_page_token)

    # then
    pages = [[one.version for one in page.versions] for page in (first, second, third)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert third.next_page_token == ""


async def test_a_diff_says_what_happened_to_which_field(registry: RegistryServiceStub) -> None:
    # given version 2, and a version 3 that creates, updates and removes
    await apply(registry, *quickstart(), provider("goes"), apply_set="s")
    changed = [one for one in quickstart() if one.WhichOneof("resource") != "tool"]
    changed[1] = model(upstream_model="better")
    await apply(registry, *changed, tool("search"), tool("new"), apply_set="s", prune=True)

    # when
    answer = await diff(registry, from_version=2)

    # then
    assert answer.to_version == 3
    assert named(answer.changes) == [("removed", "goes"), ("updated", "small"), ("created", "new")]
    (field,) = answer.changes[1].fields
    assert (field.path, field.before, field.after) == (
        "upstream_model",
        '"upstream"',
        '"better"',
    )
    assert {field.after for field in answer.changes[0].fields} == {""}
    assert {field.before for field in answer.changes[2].fields} == {""}


async def test_a_diff_backwards_is_what_a_rollback_would_do(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, provider("stays"), provider("goes"), apply_set="s")
    await apply(registry, provider("stays"), provider("comes"), apply_set="s", prune=True)

    # when
    forwards = await diff(registry, from_version=2, to_version=3)
    backwards = await diff(registry, from_version=3, to_version=2)
    restored = await roll_back(registry, version=2)

    # then
    assert named(forwards.changes) == [("created", "comes"), ("removed", "goes")]
    assert named(backwards.changes) == [("removed", "comes"), ("created", "goes")]
    assert named(restored.changes) == named(backwards.changes)


async def test_what_changed_and_changed_back_does_not_differ(
    registry: RegistryServiceStub,
) -> None:
    # given one that changed and changed back, one that came and went, one that went and came back
    await apply(registry, provider("back"), provider("again"))
    await apply(registry, provider("back", timeout={"seconds": 1}), provider("passing"))
    for name in ("passing", "again"):
        await registry.DeleteResource(
            service_pb.DeleteResourceRequest(kind=pb.RESOURCE_KIND_PROVIDER, id=name)
        )
    await apply(registry, provider("back"), provider("again"))

    # then
    assert list((await diff(registry, from_version=2)).changes) == []
    assert list((await diff(registry, from_version=6, to_version=2)).changes) == []
    assert list((await diff(registry, from_version=4, to_version=4)).changes) == []
    assert named((await diff(registry, from_version=2, to_version=3)).changes) == [
        ("updated", "back"),
        ("created", "passing"),
    ]


async def test_pages_of_a_diff_belong_to_one_pair_of_versions(
    registry: RegistryServiceStub,
) -> None:
    # given five changes
    await apply(registry, *(provider(f"p{number}") for number in range(5)))

    # when they are read two by two up to the current version, which moves after the first page
    first = await diff(registry, from_version=1, page_size=2)
    await apply(registry, provider("p4", timeout={"seconds": 1}), provider("p5"))
    token, pages = first.next_page_token, [first]
    while token:
        pages.append(await diff(registry, from_version=1, page_size=2, page_token=token))
        token = pages[-1].next_page_token

    # then
    assert [[change.ref.id for change in page.changes] for page in pages] == [
        ["p0", "p1"],
        ["p2", "p3"],
        ["p4"],
    ]
    assert {page.to_version for page in pages} == {2}


async def test_a_page_of_a_diff_is_cut_by_size(registry: RegistryServiceStub) -> None:
    """Ten prompts of half a megabyte: what differs is shown cut, what is read is bounded."""
    # given
    await apply(registry, provider(), model())
    await apply(registry, *(agent(f"a{n}", system_prompt="x" * 500_000) for n in range(10)))
    before = 3
    await apply(registry, *(agent(f"a{n}", system_prompt="y" * 500_000) for n in range(10)))

    # when
    token = ""
    pages: list[service_pb.DiffVersionsResponse] = []
    while not pages or token:
        pages.append(await diff(registry, from_version=before, page_token=token))
        token = pages[-1].next_page_token

    # then
    assert [len(page.changes) for page in pages] == [1] * 10
    assert max(page.ByteSize() for page in pages) < 4 << 20
    (field,) = pages[0].changes[0].fields
    assert len(field.before) == 1024


async def test_more_fields_than_one_page_takes_are_truncated(
    registry: RegistryServiceStub,
) -> None:
    # given two providers with 10,240 tool calls, each two fields with long paths
    calls = [{"tool_id": "t"}] * 40
    steps = [{"reply": {"tool_calls": calls}}] * 256
    await apply(registry, provider("a", builtin={"steps": steps}), provider("b"))
    await apply(registry, provider("b", builtin={"steps": steps}))

    # when
    first = await diff(registry, from_version=1)
    second = await diff(registry, from_version=1, page_token=first.next_page_token)

    # then each fills a page of its own and says that it is not all
    assert [named(page.changes) for page in (first, second)] == [
        [("created", "a")],
        [("created", "b")],
    ]
    assert first.changes[0].fields_truncated
    assert first.ByteSize() < 2 << 20


async def test_a_rollback_is_a_higher_version_with_the_old_content(
    registry: RegistryServiceStub,
) -> None:
    # given version 2, and a version 3 that differs in everything
    await apply(registry, *quickstart(), apply_set="demo")
    before = await hash_of(registry, 2)
    await apply(registry, provider("other"), apply_set="demo", prune=True)

    # when
    answer = await roll_back(registry, version=2)

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
    newest = (await versions(registry, page_size=1)).versions[0]
    assert (newest.version, newest.restored_from, newest.change_count) == (4, 2, 6)
    assert newest.content_hash == before
    assert newest.method == f"{SERVICE}/Rollback"
    listed = await registry.ListResources(service_pb.ListResourcesRequest(apply_set="demo"))
    assert len(listed.resources) == 5


async def test_a_rollback_brings_marks_back(registry: RegistryServiceStub) -> None:
    """Whoever owned a resource has to find it when it prunes."""
    # given one of a set that was taken over by another and changed, and one that only changed hands
    await apply(registry, provider("a"), provider("b"), apply_set="ours")
    await apply(registry, provider("a", timeout={"seconds": 1}), provider("b"), apply_set="theirs")

    # when
    await roll_back(registry, version=2)

    # then the old content has the old mark; what did not change keeps the mark it has
    listed = (await registry.ListResources(service_pb.ListResourcesRequest())).resources
    assert [(one.provider.id, one.meta.apply_set) for one in listed] == [
        ("a", "ours"),
        ("b", "theirs"),
    ]
    # and one that had none has none again
    await apply(registry, provider("c"))
    await apply(registry, provider("c", timeout={"seconds": 1}), apply_set="ours")
    await roll_back(registry, version=5)
    listed = (await registry.ListResources(service_pb.ListResourcesRequest())).resources
    assert listed[2].meta.apply_set == ""


async def test_references_follow_a_rollback(registry: RegistryServiceStub) -> None:
    # given a model that an agent needed, then needed no more
    await apply(registry, provider(), model("old"), model("new"), agent(model_id="old"))
    await apply(registry, agent(model_id="new"))
    await roll_back(registry, version=2)

    # when each of them is deleted
    used = await refused(
        registry.DeleteResource(
            service_pb.DeleteResourceRequest(kind=pb.RESOURCE_KIND_MODEL, id="old")
        )
    )
    deleted = await registry.DeleteResource(
        service_pb.DeleteResourceRequest(kind=pb.RESOURCE_KIND_MODEL, id="new")
    )

    # then
    assert (used.reason, used.metadata["agent_ids"]) == ("RESOURCE_IN_USE", "scout")
    assert deleted.version == 5


@pytest.mark.parametrize("version", [2, 4])
async def test_a_rollback_to_the_same_content_makes_no_version(
    registry: RegistryServiceStub, version: int
) -> None:
    # given version 4, which has the content of version 2
    await apply(registry, provider("a"))
    await apply(registry, provider("a", timeout={"seconds": 1}))
    await apply(registry, provider("a"))

    # when
    answer = await roll_back(registry, version=version)

    # then
    assert (answer.version, list(answer.changes)) == (4, [])
    assert (await versions(registry)).versions[0].version == 4


async def test_a_rollback_can_be_rolled_back(registry: RegistryServiceStub) -> None:
    await apply(registry, provider("a"))
    await apply(registry, provider("b"))
    _, before = await everything(registry)
    await roll_back(registry, version=1)
    assert (await everything(registry))[1] == {}

    answer = await roll_back(registry, version=3)

    assert answer.version == 5
    assert (await everything(registry))[1].keys() == before.keys()


async def test_a_rollback_compares_and_sets(registry: RegistryServiceStub) -> None:
    await apply(registry, provider("a"))
    await apply(registry, provider("b"))

    facts = await refused(roll_back(registry, version=2, expected_version=2))
    answer = await roll_back(registry, version=2, expected_version=3)

    assert (facts.reason, facts.metadata["current"]) == ("VERSION_MISMATCH", "3")
    assert answer.version == 4


async def test_a_repeated_rollback_has_one_effect(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, provider("a"))
    await apply(registry, provider("b"))

    # when it is sent four times at once, and again after another change
    request = service_pb.RollbackRequest(version=2, request_id="r-1")
    answers = await asyncio.gather(*(registry.Rollback(request) for _ in range(4)))
    await apply(registry, provider("c"))
    late = await registry.Rollback(request)
    other = await refused(roll_back(registry, version=3, request_id="r-1"))

    # then
    assert [*answers, late] == [answers[0]] * 5
    assert answers[0].version == 4
    assert (await versions(registry)).versions[0].version == 5
    assert other.reason == "IDEMPOTENCY_CONFLICT"


async def test_rollbacks_among_applies_all_leave_a_valid_snapshot(
    registry: RegistryServiceStub,
) -> None:
    """Sixteen writers at once: each version is one of theirs, and listing goes on meanwhile."""
    # given
    await apply(registry, *quickstart())
    await apply(registry, pool("second"), agent("other", model_id="second"))

    # when
    work: list[Any] = [apply(registry, provider(f"p{number}")) for number in range(8)]
    work += [roll_back(registry, version=2 + number % 2) for number in range(8)]
    pages = [versions(registry, page_size=3) for _ in range(8)]
    await asyncio.gather(*work, *pages)
    refs = [one.SerializeToString() for one in await _resources(registry)]

    # then no version is missing, and applying what is there changes nothing
    listed = (await versions(registry)).versions
    assert [one.version for one in listed] == list(range(len(listed), 0, -1))
    assert await apply(registry, *await _resources(registry)) == listed[0].version
    assert len(refs) >= 5


async def _resources(registry: RegistryServiceStub) -> list[pb.Resource]:
    request = service_pb.ListResourcesRequest(page_size=1000)
    return list((await registry.ListResources(request)).resources)


CALLS = [
    ("GetSnapshot", service_pb.GetSnapshotRequest(version=7)),
    ("DiffVersions", service_pb.DiffVersionsRequest(from_version=7)),
    ("DiffVersions", service_pb.DiffVersionsRequest(from_version=1, to_version=7)),
    ("Rollback", service_pb.RollbackRequest(version=7)),
]


@pytest.mark.parametrize(("method", "request_"), CALLS)
async def test_a_version_that_never_was_is_not_found(
    registry: RegistryServiceStub, method: str, request_: Any
) -> None:
    call = getattr(registry, method)(request_)
    facts = await refused(call.read() if method == "GetSnapshot" else call)

    assert facts.code is grpc.StatusCode.NOT_FOUND
    assert facts.reason == "VERSION_NOT_FOUND"
    assert facts.metadata["version"] == "7"
    assert (facts.metadata["oldest"], facts.metadata["current"]) == ("1", "1")


async def test_versions_are_required(registry: RegistryServiceStub) -> None:
    rollback = await refused(roll_back(registry, request_id="\x00"))
    compared = await refused(diff(registry, to_version=-1))

    assert unmet(rollback) == ["request_id", "version"]
    assert unmet(compared) == ["from_version", "to_version"]


@pytest.mark.parametrize("token", ["nonsense", "bm9uZQ==", "W10=", "é", "WyJ4IiwgMSwgMiwgMywgNF0="])
async def test_a_foreign_page_token_is_refused(registry: RegistryServiceStub, token: str) -> None:
    listing = await refused(versions(registry, page_token=token))
    comparing = await refused(diff(registry, from_version=1, page_token=token))

    assert (unmet(listing), unmet(comparing)) == (["page_token"], ["page_token"])


async def test_a_page_token_belongs_to_its_query(registry: RegistryServiceStub) -> None:
    # given tokens of both listings
    await apply(registry, provider("a"), provider("b"))
    await apply(registry, provider("c"))
    compared = await diff(registry, from_version=1, page_size=1)
    listed = await versions(registry, page_size=1)

    # when each is used for something else
    token = compared.next_page_token
    found = [
        await refused(diff(registry, from_version=2, page_token=token)),
        await refused(diff(registry, from_version=1, to_version=3, page_token=token)),
        await refused(versions(registry, page_token=token)),
        await refused(diff(registry, from_version=1, page_token=listed.next_page_token)),
    ]

    # then
    assert {facts.code for facts in found} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert [unmet(facts) for facts in found] == [["page_token"]] * 4
