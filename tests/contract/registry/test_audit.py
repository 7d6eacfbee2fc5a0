"""Who changed what: derived from the versions, and never with a secret in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.caller import LOCAL_PRINCIPAL, Principal
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import BLOCK, Client, named, refused, started, unmet
from tests.support.clock import START, ManualClock
from tests.support.registry_resources import agent, model, provider, quickstart

PROVIDER = pb.RESOURCE_KIND_PROVIDER
MODEL = pb.RESOURCE_KIND_MODEL
FULL_NAME = "runyard.registry.v1.RegistryService"

Told = tuple[int, str, str]


class Callers:
    """Lets everybody in, as whom the test says."""

    def __init__(self) -> None:
        self.principal = LOCAL_PRINCIPAL

    def be(self, name: str, on_behalf_of: str | None = None) -> None:
        self.principal = replace(LOCAL_PRINCIPAL, name=name, on_behalf_of=on_behalf_of)

    def authenticate(self, *_: object, **__: object) -> Principal:
        return self.principal


@pytest.fixture
def callers() -> Callers:
    return Callers()


@pytest_asyncio.fixture
async def registry(
    settings: RegistrySettings, clock: ManualClock, callers: Callers
) -> AsyncIterator[Client]:
    async with started(settings, clock, callers) as client:
        yield client


async def told(registry: Client, **fields: Any) -> list[Told]:
    """Version, action and id of every entry, over all pages."""
    pages = [await registry.audit(**fields)]
    while token := pages[-1].next_page_token:
        pages.append(await registry.audit(page_token=token, **fields))
    return [
        (entry.version, *what)
        for page in pages
        for entry, what in zip(page.entries, named(page.entries), strict=True)
    ]


def at(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(START + timedelta(seconds=seconds))
    return stamp


async def test_every_change_has_an_entry_with_its_contents(
    registry: Client, clock: ManualClock, callers: Callers
) -> None:
    # given a version by ann, then one by a service that acts for bob
    callers.be("ann")
    await registry.apply(provider("a"), provider("goes"), apply_set="s")
    clock.advance(60)
    callers.be("router", on_behalf_of="bob")
    await registry.apply(
        provider("a", timeout={"seconds": 9}),
        provider("new"),
        apply_set="s",
        prune=True,
        request_id="r-1",
    )

    # when
    entries = (await registry.audit()).entries

    # then the newest come first
    assert [(e.version, e.ref.id, e.actor, e.request_id) for e in entries] == [
        (3, "new", "bob", "r-1"),
        (3, "goes", "bob", "r-1"),
        (3, "a", "bob", "r-1"),
        (2, "goes", "ann", ""),
        (2, "a", "ann", ""),
    ]
    assert {e.method for e in entries} == {f"{FULL_NAME}/ApplyResources"}
    assert [e.time for e in entries] == [at(60)] * 3 + [at(0)] * 2
    created, removed, updated = entries[0], entries[1], entries[2]
    assert not created.HasField("before")
    assert created.after.provider.id == "new"
    assert not removed.HasField("after")
    assert removed.before.meta.since_version == 2
    assert updated.before.provider.timeout.seconds == 300
    assert updated.after.provider.timeout.seconds == 9
    assert (updated.after.meta.updated_by, updated.after.meta.since_version) == ("bob", 3)
    assert updated.before.meta.content_hash != updated.after.meta.content_hash


async def test_what_makes_no_version_has_no_entry(registry: Client) -> None:
    # given one change, then a repeat, a change of the mark, a dry run and a refusal
    await registry.publish("a", "a")
    await registry.apply(provider("a"), apply_set="s")
    await registry.apply(provider("b"), dry_run=True)
    await refused(registry.apply(model("m", provider_id="nobody")))

    # then
    assert await told(registry) == [(2, "created", "a")]


async def test_credentials_are_listed_as_references(registry: Client) -> None:
    await registry.apply(provider("p", openai={}, credential_ref={"env": "KEY"}))

    (entry,) = (await registry.audit()).entries

    assert entry.after.provider.credential_ref.env == "KEY"


async def test_every_way_to_change_something_is_listed(registry: Client) -> None:
    # given a change by each call
    await registry.register(provider("p"))
    await registry.replace(provider("p", timeout={"seconds": 1}))
    await registry.apply(model("m", provider_id="p"))
    await registry.delete("model", "m")
    await registry.remove_provider(BLOCK, "p")
    await registry.roll_back(version=4)

    # then
    entries = (await registry.audit()).entries
    assert [(e.version, e.method.rpartition("/")[2], e.ref.id) for e in entries] == [
        (7, "Rollback", "m"),
        (7, "Rollback", "p"),
        (6, "RemoveProvider", "p"),
        (5, "DeleteResource", "m"),
        (4, "ApplyResources", "m"),
        (3, "ReplaceProvider", "p"),
        (2, "RegisterProvider", "p"),
    ]
    assert entries[1].after.provider.timeout.seconds == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"kind": MODEL}, [(4, "removed", "x"), (3, "updated", "x"), (2, "created", "x")]),
        ({"id": "x", "kind": PROVIDER}, [(5, "created", "x")]),
        (
            {"id": "x"},
            [(5, "created", "x"), (4, "removed", "x"), (3, "updated", "x"), (2, "created", "x")],
        ),
        ({"actor": "bob"}, [(4, "removed", "x"), (3, "updated", "x")]),
        ({"actor": "bob", "id": "x", "until": at(20)}, [(3, "updated", "x")]),
        ({"since": at(20), "until": at(30)}, [(4, "removed", "x")]),
        ({"since": at(30)}, [(5, "created", "x")]),
        ({"until": at(10)}, [(2, "created", "x"), (2, "created", "p")]),
        ({"actor": "nobody"}, []),
        ({"id": "nothing"}, []),
        ({"kind": pb.RESOURCE_KIND_TOOL}, []),
    ],
)
@pytest.mark.parametrize("page_size", [1, 100])
async def test_filters_and_pages_join(
    registry: Client,
    clock: ManualClock,
    callers: Callers,
    filters: dict[str, Any],
    found: list[Told],
    page_size: int,
) -> None:
    # given a model's life by two principals, one step every 10 s, and a provider of its name
    callers.be("ann")
    await registry.apply(provider("p"), model("x", provider_id="p"))
    callers.be("bob")
    clock.advance(10)
    await registry.apply(model("x", provider_id="p", upstream_model="u2"))
    clock.advance(10)
    await registry.delete("model", "x")
    callers.be("ann")
    clock.advance(10)
    await registry.apply(provider("x"))

    # then
    assert await told(registry, page_size=page_size, **filters) == found


async def test_pages_join_while_others_are_published(registry: Client) -> None:
    # given three versions of three changes
    names = ["a", "b", "c"]
    for timeout in (1, 2, 3):
        await registry.apply(*(provider(name, timeout={"seconds": timeout}) for name in names))

    # when they are read four by four, and one more version comes after the first page
    first = await registry.audit(page_size=4)
    await registry.apply(*(provider(name, timeout={"seconds": 4}) for name in names))
    second = await registry.audit(page_size=4, page_token=first.next_page_token)
    third = await registry.audit(page_size=4, page_token=second.next_page_token)

    # then nothing is missing and nothing comes twice
    keys = [[(e.version, e.ref.id) for e in page.entries] for page in (first, second, third)]
    assert keys == [
        [(4, "c"), (4, "b"), (4, "a"), (3, "c")],
        [(3, "b"), (3, "a"), (2, "c"), (2, "b")],
        [(2, "a")],
    ]
    assert third.next_page_token == ""


async def test_a_page_is_cut_by_size(registry: Client) -> None:
    """Contents before and after count both: four entries would be more than a client accepts."""
    # given six changes of half a megabyte to half a megabyte
    await registry.apply(*quickstart())
    await registry.apply(*(agent(f"a{n}", system_prompt="x" * 500_000) for n in range(6)))
    await registry.apply(*(agent(f"a{n}", system_prompt="y" * 500_000) for n in range(6)))

    # when
    page = await registry.audit()

    # then
    assert [(e.version, e.ref.id) for e in page.entries] == [(4, "a5"), (4, "a4"), (4, "a3")]
    assert page.ByteSize() < 4 << 20
    assert len(await told(registry)) == 17


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"kind": 42}, ["kind"]),
        ({"id": "a\x00b"}, ["id"]),
        ({"actor": "x" * 513}, ["actor"]),
        ({"since": Timestamp(seconds=1 << 60)}, ["since"]),
        ({"until": Timestamp(nanos=-1), "id": "\n"}, ["id", "until"]),
        ({"page_token": "nonsense"}, ["page_token"]),
        ({"page_token": "WyIxIiwgMCwgMSwgIiJd"}, ["page_token"]),
        ({"page_token": "WyIxIiwgMSwgOSwgIngiXQ=="}, ["page_token"]),
    ],
)
async def test_a_malformed_question_is_refused(
    registry: Client, fields: dict[str, Any], at_fault: list[str]
) -> None:
    facts = await refused(registry.audit(**fields))

    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert unmet(facts) == at_fault


@pytest.mark.parametrize(
    "other", [{"kind": PROVIDER}, {"id": "b"}, {"actor": "ann"}, {"since": at(0)}, {"until": at(9)}]
)
async def test_a_page_token_belongs_to_its_filters(registry: Client, other: dict[str, Any]) -> None:
    await registry.apply(provider("a"), provider("b"))
    first = await registry.audit(page_size=1)

    facts = await refused(registry.audit(page_token=first.next_page_token, **other))

    assert unmet(facts) == ["page_token"]
    assert "another query" in facts.violations[0].description
