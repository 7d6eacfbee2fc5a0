"""The past over dictionaries: what can only be arranged without a server."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.caller import Replay
from services.chassis.errors import InvalidRequestError
from services.registry.core import model as m
from services.registry.core import stored
from services.registry.core.canonical import content_hash
from services.registry.core.changes.publishing import Action
from services.registry.core.errors import VersionMismatchError, VersionNotFoundError
from services.registry.core.history import auditing, hashing
from services.registry.core.history.auditing import AuditPage, AuditQuery, spans
from services.registry.core.history.comparing import Comparison
from services.registry.core.history.hashing import content_hashes, hashable_at_once
from services.registry.core.history.history import DiffQuery, RolledBack
from services.registry.core.history.retaining import RetentionPolicy, oldest_to_keep
from services.registry.core.history.rolling_back import RollbackCommand
from services.registry.core.model import Agent, BuiltinAdapter, Model, Provider, Resource
from services.registry.core.ports import Tx
from services.registry.core.refs import Kind, Ref
from services.registry.core.rules.validating import references
from services.registry.core.stored import Head, Publication, PublishedVersion, ResourceWrite, Span
from tests.support.callers import LOCAL, keyed
from tests.support.clock import START
from tests.support.memory_registry import MemoryTx, snapshot_hash
from tests.support.registry_use_cases import UseCases

PROVIDER = Provider("p", BuiltinAdapter())
MODEL = Model("m", "p", "u")


def written(resource: Resource, apply_set: str = "") -> ResourceWrite:
    targets = frozenset(each.target for each in references(resource))
    body = pickle.dumps(resource)
    return ResourceWrite(resource.ref, content_hash(resource), apply_set, body, targets)


def publication(version: int, *upserts: ResourceWrite, removed: Iterable[Ref] = ()) -> Publication:
    return Publication(version, upserts, list(removed), START, "ann", "/Apply", "")


async def publish_unchecked(use_cases: UseCases, *resources: Resource) -> None:
    """As a program with other rules would."""

    def publish(tx: Tx) -> None:
        version = tx.lock_head().version + 1
        tx.publish(publication(version, *map(written, resources)))

    await use_cases.store.write(publish)


def version_of(number: int, changes: int = 1, age_s: int = 0) -> PublishedVersion:
    at = START - timedelta(seconds=age_s)
    return PublishedVersion(number, at, "", "", "", changes, None, None, "")


# Rolling back


async def test_old_content_is_judged_by_the_rules_of_today() -> None:
    # given a version 2 from a time when these were legal, and a current version without them
    use_cases = UseCases()
    illegal = replace(PROVIDER, base_url="https://h")
    dangling = Model("x", "nobody", "u")
    await publish_unchecked(use_cases, illegal, dangling, replace(MODEL, upstream_model="v"))
    await use_cases.apply(PROVIDER, MODEL, replace(dangling, provider_id="p"))

    # when
    with pytest.raises(InvalidRequestError) as caught:
        await use_cases.history.rollback(LOCAL, RollbackCommand(2))

    # then everything that is wrong is named by kind and id, and nothing has happened
    found = [(each.field, each.reason) for each in caught.value.violations]
    assert found == [
        ("model/x.provider_id", "model_missing_provider"),
        ("provider/p.base_url", ""),
    ]
    assert (await use_cases.head()).version == 3


async def test_a_removal_that_something_kept_refers_to_is_refused() -> None:
    """An older program let an agent in that refers to nothing it checked."""
    # given an agent in versions 2 and 3, and its model in version 3 alone
    use_cases = UseCases()
    await publish_unchecked(use_cases, Agent("a", "m"))
    await use_cases.apply(PROVIDER, MODEL)

    # when
    with pytest.raises(InvalidRequestError) as caught:
        await use_cases.history.rollback(LOCAL, RollbackCommand(2))

    # then
    (violation,) = caught.value.violations
    assert (violation.field, violation.reason) == ("agent/a", "agent_missing_model")


async def test_old_content_comes_back_in_the_form_of_today() -> None:
    """Stored without what is filled in today: the same content, so no version of its own."""
    # given version 2 with a price as an older program kept it, and version 3 as it is kept now
    use_cases = UseCases()
    priced = replace(MODEL, prices=m.ModelPrices(input_per_million="0.150"))
    await publish_unchecked(use_cases, PROVIDER, priced)
    await use_cases.apply(PROVIDER, priced)
    assert (await use_cases.head()).version == 3

    # when
    answer = await use_cases.history.rollback(LOCAL, RollbackCommand(2))

    # then
    assert answer == RolledBack(3, "in-memory", ())


async def test_a_repeated_rollback_gets_the_first_answer() -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER)
    await use_cases.apply(PROVIDER, MODEL)

    first = await use_cases.history.rollback(keyed(LOCAL, "k", b"1"), RollbackCommand(1))
    again = await use_cases.history.rollback(keyed(LOCAL, "k", b"1"), RollbackCommand(1))

    assert isinstance(first, RolledBack)
    assert [(str(c.ref), c.action) for c in first.changes] == [
        ("provider/p", Action.REMOVED),
        ("model/m", Action.REMOVED),
    ]
    assert again == Replay(pickle.dumps(first))
    assert (await use_cases.head()).version == 4


@pytest.mark.parametrize("version", [0, -1, 3])
async def test_only_what_is_kept_is_restored(version: int) -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER)

    with pytest.raises(VersionNotFoundError):
        await use_cases.history.rollback(LOCAL, RollbackCommand(version))
    with pytest.raises(VersionMismatchError):
        await use_cases.history.rollback(LOCAL, RollbackCommand(1, expected_version=1))


# Comparing


async def test_a_comparison_is_of_versions_that_are_kept() -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER)
    await use_cases.apply(MODEL)

    with pytest.raises(VersionNotFoundError):
        await use_cases.history.diff(DiffQuery(4, None, None, 0))
    page = await use_cases.history.diff(DiffQuery(3, 2, None, 0))

    assert page.versions == Comparison(3, 2)
    assert [(c.ref, c.action) for c in page.changes] == [(MODEL.ref, Action.REMOVED)]
    assert page.next_after is None


async def test_a_page_of_a_comparison_ends_before_it_gets_too_large() -> None:
    """The fields of one resource are cut at 1 MiB; of two, the second waits for the next page."""
    # given two providers of 20,480 fields with long paths
    use_cases = UseCases()
    calls = (m.BuiltinToolCall("t"),) * 64
    steps = (m.BuiltinStep(m.BuiltinReply(tool_calls=calls)),) * 160
    await use_cases.apply(*(Provider(id_, BuiltinAdapter(steps)) for id_ in "ab"))

    # when
    first = await use_cases.history.diff(DiffQuery(1, None, None, 0))
    second = await use_cases.history.diff(DiffQuery(1, None, first.next_after, 0))

    # then
    assert [[c.ref.id for c in page.changes] for page in (first, second)] == [["a"], ["b"]]
    assert first.changes[0].fields_truncated
    assert (first.changes[0].action, second.next_after) == (Action.CREATED, None)


# Hashes


def test_no_version_has_no_hash() -> None:
    assert content_hashes(MemoryTx(), []) == {}


async def test_hashes_of_many_versions_are_those_of_their_contents() -> None:
    # given versions that add, change and remove
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, apply_set="s")
    await use_cases.apply(PROVIDER, MODEL, apply_set="s")
    await use_cases.apply(PROVIDER, replace(MODEL, upstream_model="v"), apply_set="s")
    await use_cases.apply(PROVIDER, apply_set="s", prune=True)

    # when
    page = await use_cases.history.versions(None, 0)

    # then
    changed = replace(MODEL, upstream_model="v")
    contents = [[PROVIDER], [changed, PROVIDER], [MODEL, PROVIDER], [PROVIDER], []]
    assert [one.content_hash for one in page.versions] == [
        snapshot_hash(sorted((one.ref, content_hash(one)) for one in each)) for each in contents
    ]


async def test_a_page_ends_where_hashing_more_would_take_too_long() -> None:
    # given 202 versions without a hash, and 10 of them with one
    use_cases = UseCases()
    for number in range(201):
        await use_cases.apply(replace(PROVIDER, timeout=timedelta(seconds=1 + number)))
    some = {version: b"hash %d" % version for version in range(193, 203)}
    await use_cases.store.write(lambda tx: tx.save_hashes(some))

    # when
    first = await use_cases.history.versions(None, 1000)
    second = await use_cases.history.versions(first.next_before, 1000)

    # then
    assert hashing.MAX_HASHES == 100
    assert [len(page.versions) for page in (first, second)] == [110, 92]
    assert first.versions[0].content_hash == b"hash 202"
    assert second.next_before is None


@pytest.mark.parametrize(
    ("changes", "count"),
    [([], 0), ([50_000], 1), ([50_000, 1], 1), ([15_000, 5_000, 1], 2), ([1, 1, 1], 3)],
)
def test_at_least_one_version_is_hashed_at_a_time(changes: list[int], count: int) -> None:
    assert hashable_at_once([version_of(9 - n, size) for n, size in enumerate(changes)]) == count


# The audit log


async def every_page(use_cases: UseCases, query: AuditQuery) -> list[AuditPage]:
    pages = [await use_cases.history.audit(query)]
    while before := pages[-1].next_before:
        pages.append(await use_cases.history.audit(replace(query, before=before)))
    return pages


async def test_the_past_of_an_id_is_told_from_its_rows() -> None:
    # given an id of two kinds, created, updated and removed
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, Provider("x", BuiltinAdapter()))
    await use_cases.apply(Agent("x", endpoint=m.AgentEndpoint("https://a.example")), apply_set="s")
    await use_cases.apply(Provider("x", BuiltinAdapter(), timeout=timedelta(seconds=1)))
    await use_cases.apply(apply_set="s", prune=True)

    # when
    pages = await every_page(use_cases, AuditQuery(id="x", limit=3))
    agents = await every_page(use_cases, AuditQuery(kind=Kind.AGENT, id="x"))

    # then
    told = [(str(e.ref), e.version.version, e.action) for page in pages for e in page.entries]
    assert [len(page.entries) for page in pages] == [3, 1]
    assert told == [
        ("agent/x", 5, Action.REMOVED),
        ("provider/x", 4, Action.UPDATED),
        ("agent/x", 3, Action.CREATED),
        ("provider/x", 2, Action.CREATED),
    ]
    assert [e.version.version for page in agents for e in page.entries] == [5, 3]


async def test_a_page_of_everything_has_as_many_as_were_asked_for() -> None:
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL)
    await use_cases.apply(replace(PROVIDER, timeout=timedelta(seconds=1)))

    pages = await every_page(use_cases, AuditQuery(limit=2))

    told = [[(str(e.ref), e.version.version) for e in page.entries] for page in pages]
    assert told == [[("provider/p", 3), ("model/m", 2)], [("provider/p", 2)]]


async def test_a_search_for_what_is_rare_takes_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at everything in one read would hold it up for seconds."""
    # given one model in version 2, then 30 versions of providers
    use_cases = UseCases()
    await use_cases.apply(PROVIDER, MODEL)
    for number in range(30):
        await use_cases.apply(replace(PROVIDER, timeout=timedelta(seconds=1 + number)))

    # when a page looks at 10 changes, 4 at a time
    monkeypatch.setattr(auditing, "_SEARCHED_PER_PAGE", 10)
    monkeypatch.setattr(auditing, "_SEARCHED_PER_SPAN", 4)
    monkeypatch.setattr(auditing, "_VERSIONS_PER_READ", 7)
    pages = await every_page(use_cases, AuditQuery(kind=Kind.MODEL))

    # then pages without entries lead to the one that has it
    found = [entry.ref for page in pages for entry in page.entries]
    assert found == [MODEL.ref]
    assert len(pages) == 4


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=12), st.integers(1, 9))
def test_spans_cover_every_version_once(steps: list[tuple[int, int]], most: int) -> None:
    """Also where a filter leaves gaps."""
    # given versions, newest first
    versions, number = [], 100
    for step, changes in steps:
        number -= step
        versions.append(version_of(number, changes))

    # when
    found = list(spans(versions, most))

    # then
    covered = [n for span, _ in found for n in range(span.newest, span.oldest - 1, -1)]
    assert covered == [each.version for each in versions]
    assert sum(changes for _, changes in found) == sum(each.change_count for each in versions)


def test_a_span_ends_when_it_has_enough() -> None:
    versions = [version_of(9, 2), version_of(8, 2), version_of(7, 2), version_of(5, 2)]

    assert list(spans(versions, 3)) == [(Span(8, 9), 4), (Span(7, 7), 2), (Span(5, 5), 2)]


# Lineages


def test_a_lineage_is_of_everything_that_led_to_it() -> None:
    # given
    first = publication(2, written(PROVIDER))
    others = [
        publication(3, written(PROVIDER)),
        publication(2, written(replace(PROVIDER, id="q"))),
        publication(2, written(replace(PROVIDER, timeout=timedelta(seconds=1)))),
        publication(2, removed=[PROVIDER.ref]),
        replace(first, at=START + timedelta(microseconds=1)),
        replace(first, by="bob"),
        replace(first, method="/Other"),
        replace(first, request_id="r"),
    ]

    # when
    lineages = [stored.next_lineage("", each) for each in [first, *others]]

    # then
    assert len(set(lineages)) == 9
    assert stored.next_lineage("other", first) not in lineages
    assert stored.next_lineage("", first) == lineages[0]
    assert {len(each) for each in lineages} == {32}


# Retention


@pytest.mark.parametrize(
    ("ages_s", "keep", "oldest"),
    [
        ([50, 40, 30, 20, 10], RetentionPolicy(2, timedelta(seconds=25)), 4),
        ([50, 40, 30, 20, 10], RetentionPolicy(4, timedelta(seconds=25)), 2),
        ([50, 40, 30, 20, 10], RetentionPolicy(1, timedelta(seconds=45)), 2),
        ([50, 40, 30, 20, 10], RetentionPolicy(1, timedelta(0)), 5),
        # a clock that went back: the young version stays, and so does all after it
        ([50, 5, 30, 20, 10], RetentionPolicy(1, timedelta(seconds=25)), 2),
        ([], RetentionPolicy(1, timedelta(0)), 1),
    ],
)
def test_what_is_kept_has_no_gaps(ages_s: list[int], keep: RetentionPolicy, oldest: int) -> None:
    first = [version_of(number, age_s=age) for number, age in enumerate(ages_s, 1)]

    assert oldest_to_keep(Head(5, "i"), first, keep, START) == oldest


def test_a_step_that_sees_only_old_ones_ends_after_them() -> None:
    first = [version_of(number, age_s=99) for number in (1, 2, 3)]

    assert oldest_to_keep(Head(50, "i"), first, RetentionPolicy(1, timedelta(0)), START) == 4
