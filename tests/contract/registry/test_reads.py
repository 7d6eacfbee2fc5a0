"""Reading one resource, listings, and whole snapshots."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from tests.contract.registry.calls import Client, ids, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart


async def test_a_resource_comes_back_normalised(registry: Client) -> None:
    # given a pool of which only members are written
    await registry.apply(*quickstart())

    # when
    answer = await registry.get("model_pool", "both")

    # then every default is set, and what has none is not
    read = answer.resource.model_pool
    assert answer.version == 2
    assert read.members[0].weight == 1
    assert read.members[0].role == pb.POOL_MEMBER_ROLE_MEMBER
    assert read.routing.home == pb.HOME_STRATEGY_DETERMINISTIC
    assert read.switch.on_permanent
    assert read.switch.HasField("on_retry_exhausted")
    assert not read.switch.on_retry_exhausted
    assert read.breaker.cooldown.seconds == 30
    assert read.clocks.idle.seconds == 60
    assert not read.clocks.HasField("total")
    assert not read.switch.HasField("max_switches_per_session")


async def test_an_unknown_resource_is_not_found(registry: Client) -> None:
    facts = await refused(registry.get("agent", "nobody"))

    assert facts.code is grpc.StatusCode.NOT_FOUND
    assert facts.reason == "RESOURCE_NOT_FOUND"
    assert (facts.metadata["kind"], facts.metadata["id"]) == ("agent", "nobody")


async def test_a_reference_without_kind_and_id_has_two_violations(registry: Client) -> None:
    facts = await refused(registry.GetResource(service_pb.GetResourceRequest()))

    assert unmet(facts) == ["id", "kind"]


@pytest.mark.parametrize("id_", ["a\x00b", "x" * 513])
async def test_a_name_that_no_resource_can_have_is_malformed(registry: Client, id_: str) -> None:
    """It is no matter of what there is: nothing of that name can be applied."""
    # when a resource and a set of that name are asked for
    resource = await refused(registry.get("agent", id_))
    listing = await refused(registry.list_resources(apply_set=id_))

    # then
    assert unmet(resource) == ["id"]
    assert unmet(listing) == ["apply_set"]


async def test_ids_are_free_text(registry: Client) -> None:
    # given ids with everything that has a meaning somewhere else
    odd = ["a/b", "100%", "it's", 'quo"te', "naïve", "🚀", "a b", "-"]
    await registry.apply(*(provider(each) for each in odd))

    # when
    found = [await registry.get("provider", each) for each in odd]

    # then
    assert [answer.resource.provider.id for answer in found] == odd


async def test_pages_join_to_the_whole_listing(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())

    # when it is read two by two
    pages = [await registry.list_resources(page_size=2)]
    while token := pages[-1].next_page_token:
        pages.append(await registry.list_resources(page_size=2, page_token=token))

    # then
    found = [ids(page.resources) for page in pages]
    assert found == [["local", "small"], ["both", "scout"], ["search"]]


async def test_a_listing_can_be_of_one_kind(registry: Client) -> None:
    await registry.apply(*quickstart())

    answer = await registry.list_resources(kind=pb.RESOURCE_KIND_TOOL)

    assert ids(answer.resources) == ["search"]
    assert answer.next_page_token == ""


async def test_a_page_is_cut_by_size(registry: Client) -> None:
    """Four of these would be more than a client accepts by default."""
    # given five agents of a megabyte each
    await registry.apply(provider(), model())
    await registry.apply(*(agent(f"a{n}", system_prompt="x" * 1_000_000) for n in range(5)))

    # when
    answer = await registry.list_resources(kind=pb.RESOURCE_KIND_AGENT)

    # then
    assert ids(answer.resources) == ["a0", "a1", "a2"]
    assert answer.next_page_token


@pytest.mark.parametrize("token", ["nonsense", "bm9uZQ==", "W10=", "é", "W251bGwsIDEsICJ4Il0="])
async def test_a_foreign_page_token_is_refused(registry: Client, token: str) -> None:
    facts = await refused(registry.list_resources(page_token=token))

    assert unmet(facts) == ["page_token"]


async def test_a_listing_of_an_unknown_kind_is_refused(registry: Client) -> None:
    facts = await refused(registry.list_resources(kind=42))  # a kind of a later version

    assert unmet(facts) == ["kind"]


@pytest.mark.parametrize("other", [{"kind": pb.RESOURCE_KIND_AGENT}, {"apply_set": "s"}])
async def test_a_page_token_belongs_to_its_query(registry: Client, other: dict[str, Any]) -> None:
    # given a token of the whole listing
    await registry.apply(*quickstart())
    first = await registry.list_resources(page_size=1)

    # when it is used for one kind, or for one set
    facts = await refused(
        registry.list_resources(page_size=1, page_token=first.next_page_token, **other)
    )

    # then
    (violation,) = facts.violations
    assert "another query" in violation.description


async def test_an_empty_snapshot_is_one_part(registry: Client) -> None:
    (part,) = await registry.snapshot()

    assert (part.version, part.part, part.last_part, len(part.resources)) == (1, 0, True, 0)
    assert part.incarnation
    assert len(part.content_hash) == 64


async def test_a_large_snapshot_comes_in_parts(registry: Client) -> None:
    # given 300 agents of about 2 KB
    await registry.apply(provider(), model())
    await registry.apply(*(agent(f"a{n:03}", system_prompt="x" * 2000) for n in range(300)))

    # when
    parts = await registry.snapshot()

    # then the parts are numbered, bounded, and together the whole
    assert [part.part for part in parts] == list(range(len(parts)))
    assert [part.last_part for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) >= 9
    assert max(part.ByteSize() for part in parts) < 100_000
    joined = [id_ for part in parts for id_ in ids(part.resources)]
    assert joined == ["local", "small", *(f"a{n:03}" for n in range(300))]
    assert {part.version for part in parts} == {3}


async def test_an_old_version_stays_as_it_was(registry: Client) -> None:
    # given version 2, then changes and a removal
    await registry.apply(provider("a"), provider("b"), apply_set="s")
    before = await registry.snapshot()
    await registry.apply(provider("b", timeout={"seconds": 9}), apply_set="s", prune=True)

    # when
    old, new = await registry.snapshot(2), await registry.snapshot(3)

    # then
    assert old == before
    assert ids(old[0].resources) == ["a", "b"]
    assert ids(new[0].resources) == ["b"]
    assert old[0].content_hash != new[0].content_hash


async def test_equal_content_has_an_equal_hash(registry: Client) -> None:
    # given content that changes and changes back
    await registry.apply(provider("a"))
    await registry.apply(provider("a", timeout={"seconds": 9}))
    await registry.apply(provider("a"))

    # when
    hashes = [(await registry.snapshot(version))[0].content_hash for version in (2, 3, 4)]

    # then
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize("version", [0, 2, -1])
async def test_a_version_that_is_not_kept_is_not_found(registry: Client, version: int) -> None:
    facts = await refused(registry.snapshot(version))

    assert facts.reason == "VERSION_NOT_FOUND"
    assert (facts.metadata["oldest"], facts.metadata["current"]) == ("1", "1")


async def test_a_pool_keeps_the_order_of_its_members(registry: Client) -> None:
    # given
    names = ["m3", "m1", "m2"]
    await registry.apply(provider(), *(model(n) for n in names), pool("ordered", members=names))

    # when
    answer = await registry.get("model_pool", "ordered")

    # then
    assert [m.model_id for m in answer.resource.model_pool.members] == names
