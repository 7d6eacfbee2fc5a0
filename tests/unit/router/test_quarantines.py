"""Members that failed for good: set aside in all pools, probed, and back when the fault is gone."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from services.router.clients.credentials import digest_of, look
from services.router.core.breaker import Permit
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import FailureClass
from services.router.core.model import (
    BreakerPolicy,
    Credential,
    HomeStrategy,
    Member,
    Pool,
    PoolMember,
    Snapshot,
    SwitchPolicy,
    Target,
)
from services.router.core.quarantine import Entry
from services.router.core.session import Session
from services.router.engine.quarantines import Admission, Quarantines
from tests.support.scripted_adapter import Hang
from tests.unit.router.builders import NOW, at, member, target
from tests.unit.router.in_memory_router import Router, refused, router

DENIED = refused(FailureClass.AUTH, 401)
OTHER = Session(thread_id="t2")
NO_PROBE = Admission(Permit(0), Entry(NOW), digest="", probe=False)
KEEPING = SwitchPolicy(on_permanent=False)


def named(pool_id: str, *members: Member, **settings: object) -> Target:
    """A pool whose sessions start on its first member."""
    found = target(*members, home=HomeStrategy.FIRST_HEALTHY, **settings)
    return replace(found, pool=replace(found.pool, id=pool_id))


A, B = member("a"), member("b")
POOL, SAME, KEPT = named("pool", A, B), named("same", A, B), named("kept", A, B, switch=KEEPING)
DIRECT = Target(Pool("a", (PoolMember("a"),)), (A,), "r1", is_pool=False)


async def quarantine_a(running: Router) -> None:
    running.provider.will("a", DENIED)
    assert (await running.ask()).decision.member_id == "b"
    running.provider.calls.clear()


async def test_every_session_of_every_pool_passes_the_member_by() -> None:
    # given
    async with router(POOL, SAME) as running:
        await quarantine_a(running)

        # when
        same_pool = await running.ask(OTHER)
        other_pool = await running.ask(OTHER, target_id="same")

        # then
        assert running.provider.calls == ["b", "b"]
        aside = (Skipped("a", SkipReason.QUARANTINED, at(900), "auth"),)
        assert same_pool.decision.skipped == other_pool.decision.skipped == aside


async def test_without_on_permanent_and_called_directly_it_goes_on_being_called() -> None:
    # given
    async with router(POOL, KEPT, DIRECT) as running:
        await quarantine_a(running)

        # when
        running.provider.will("a", DENIED, DENIED)
        kept = await running.ask(OTHER, target_id="kept")
        direct = await running.ask(OTHER, target_id="a")

        # then nor does their failure begin another round
        assert running.provider.calls == ["a", "a"]
        assert kept.reason == direct.reason == "UPSTREAM_REJECTED"
        assert (await running.ask(OTHER)).decision.skipped[0].until == at(900)


async def test_failures_of_a_pool_without_on_permanent_set_nothing_aside() -> None:
    # given
    async with router(POOL, KEPT, DIRECT) as running:
        running.provider.will("a", DENIED, DENIED)
        await running.ask(target_id="kept")
        await running.ask(target_id="a")

        # when
        outcome = await running.ask(OTHER)

        # then
        assert outcome.decision.member_id == "a"


async def test_an_answer_to_a_direct_call_ends_the_quarantine() -> None:
    # given
    async with router(POOL, DIRECT) as running:
        await quarantine_a(running)
        running.clock.advance(1)

        # when
        await running.ask(target_id="a")

        # then
        assert (await running.ask(OTHER)).decision.member_id == "a"


async def test_one_probe_after_15_minutes_and_30_minutes_after_it_fails() -> None:
    # given
    async with router(POOL) as running:
        await quarantine_a(running)

        # when a probe hangs, and then fails
        running.clock.advance(899)
        early = await running.ask(OTHER)
        running.clock.advance(1)
        running.provider.will("a", [Hang()], DENIED)
        probing = asyncio.create_task(running.ask_alongside(Session(thread_id="t2b")))
        await running.provider.until_hanging()
        beside = await running.ask_alongside(Session(thread_id="t3"))
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        running.clock.advance(900)
        failed = await running.ask(Session(thread_id="t4"))
        running.clock.advance(1799)
        later = await running.ask(Session(thread_id="t5"))
        running.clock.advance(1)
        answered = await running.ask(Session(thread_id="t6"))

        # then a cancelled probe begins its round again
        assert running.provider.calls == ["b", "a", "b", "a", "b", "b", "a"]
        assert early.decision.skipped[0].until == at(900)
        assert beside.decision.skipped == (Skipped("a", SkipReason.QUARANTINED, None, "auth"),)
        assert [each.probe for each in failed.decision.attempts] == [True, False]
        assert later.decision.skipped[0].until == at(3600)
        assert [each.probe for each in answered.decision.attempts] == [True]
        assert [each.probe for each in later.decision.attempts] == [False]


async def test_with_every_member_quarantined_no_provider_is_called() -> None:
    # given two members that failed 60 s after one another
    async with router(POOL) as running:
        await quarantine_a(running)
        running.clock.advance(60)
        running.provider.will("b", refused(FailureClass.PAYMENT, 402))
        await running.ask(OTHER)
        running.provider.calls.clear()

        # when
        outcome = await running.ask(OTHER)

        # then
        assert outcome.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert outcome.error.retry_after_s == 840.0
        causes = {"a": "quarantined auth", "b": "quarantined payment"}
        assert json.loads(outcome.error.metadata["causes"]) == causes
        assert running.provider.calls == []


async def test_a_session_that_may_not_move_is_refused() -> None:
    # given a pool whose sessions move at most once, and a session that has
    async with router(named("pool", A, B, switch=SwitchPolicy(max_switches=0))) as running:
        running.provider.will("a", DENIED)
        await running.ask()
        running.provider.calls.clear()

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "UPSTREAM_REJECTED"
        assert outcome.error.message == (
            "model 'a' is not called: it failed in a way that a repeat does not cure"
        )
        assert outcome.error.retry_after_s == 900.0
        assert running.provider.calls == []


async def test_a_probe_is_not_taken_while_the_circuit_is_open() -> None:
    # given a member whose quarantine may be probed, and whose circuit is open
    policy = BreakerPolicy(failure_threshold=1, cooldown_s=60.0)
    async with router(named("pool", A, B, breaker=policy, in_place_retries=0), DIRECT) as running:
        await quarantine_a(running)
        running.clock.advance(900)
        running.provider.will("a", refused(FailureClass.SERVER_ERROR, 500))
        await running.ask(OTHER)

        # when both would let a call through
        running.clock.advance(60)
        circuit_alone = await running.ask(Session(thread_id="t3"))
        running.clock.advance(840)
        both = await running.ask(Session(thread_id="t4"))

        # then the failed probe has begun its round again
        assert circuit_alone.decision.skipped[0].reason is SkipReason.QUARANTINED
        assert [(each.member_id, each.probe) for each in both.decision.attempts] == [("a", True)]


@pytest.mark.parametrize("changed", ["revision", "model"])
async def test_another_revision_and_another_upstream_model_are_called(changed: str) -> None:
    # given
    async with router(POOL) as running:
        await quarantine_a(running)
        provider, model = A.provider, A.model
        if changed == "revision":
            provider = replace(provider, revision="r2")
        else:
            model = replace(model, upstream_model="up-other")
        corrected = named("pool", Member(model, provider), B)
        running.snapshots.current = Snapshot(8, "incarnation", {"pool": corrected})

        # when
        outcome = await running.ask(OTHER)

        # then
        assert outcome.decision.member_id == "a"


async def test_a_changed_key_is_tried_by_the_next_call_and_the_old_one_is_not(
    tmp_path: Path,
) -> None:
    # given a provider with its key in a file
    key = tmp_path / "key"
    key.write_text("sk-old")
    keyed = replace(A, provider=replace(A.provider, credential=Credential(file=str(key))))
    async with router(named("pool", keyed, B)) as running:
        await quarantine_a(running)

        # when
        kept = await running.ask(OTHER)
        key.write_text("sk-new")
        changed = await running.ask(Session(thread_id="t3"))
        key.write_text("sk-old")
        back = await running.ask(Session(thread_id="t4"))
        key.unlink()
        gone = await running.ask(Session(thread_id="t5"))

        # then
        members = [each.decision.member_id for each in (kept, changed, back, gone)]
        assert members == ["b", "a", "b", "a"]


async def test_what_fails_with_the_old_key_does_not_quarantine_the_new_one(tmp_path: Path) -> None:
    # given a call that hangs, and a key that changes meanwhile
    key = tmp_path / "key"
    key.write_text("sk-old")
    keyed = replace(A, provider=replace(A.provider, credential=Credential(file=str(key))))
    found = Quarantines(digest_of)
    old = found.digest(keyed)
    key.write_text("sk-new")
    await look([keyed.provider])

    # when it fails
    pool = named("pool", keyed, B)
    found.record(pool, keyed, replace(NO_PROBE, digest=old), FailureClass.AUTH, NOW)

    # then
    assert found.skip(pool, keyed, NOW) is None
    assert found.key(keyed) not in found.entries
    key.write_text("sk-old")
    await look([keyed.provider])
    assert found.skip(pool, keyed, NOW) is not None
    assert list(found.entries) == [found.key(keyed)]


def test_a_reset_ends_it() -> None:
    # given two members
    found, pool = Quarantines(digest_of), POOL
    for each in (A, B):
        found.record(pool, each, NO_PROBE, FailureClass.AUTH, NOW)

    # when
    found.reset(A.quota_key, at(1))

    # then
    assert found.skip(pool, A, NOW) is None
    assert found.skip(pool, B, NOW) is not None
    assert found.recovers_in_s(pool, B, at(10)) == 890.0
    assert found.recovers_in_s(pool, A, at(10)) is None


def test_while_a_probe_is_in_flight_it_recovers_soon() -> None:
    # given
    found = Quarantines(digest_of)
    found.record(POOL, A, NO_PROBE, FailureClass.AUTH, NOW)

    # when
    other = found.admit(KEPT, A, at(900), 65.0)
    probe = found.admit(POOL, A, at(900), 65.0)

    # then a pool that does not obey the quarantine takes no probe
    assert (probe.lease, other.lease) == (at(965), None)
    assert found.recovers_in_s(POOL, A, at(901)) == 1.0


def test_the_quarantine_that_changed_longest_ago_is_forgotten() -> None:
    # given room for two
    found = Quarantines(digest_of, capacity=2)
    members = [member(name) for name in ("x", "y", "z")]
    pool = named("pool", *members)

    # when
    for each in members:
        found.record(pool, each, NO_PROBE, FailureClass.AUTH, NOW)

    # then
    assert [found.skip(pool, each, NOW) is not None for each in members] == [False, True, True]


def test_every_change_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    # given
    found = Quarantines(digest_of)

    # when it begins, fails again beside, is probed, fails, and is reset
    found.record(POOL, A, NO_PROBE, FailureClass.AUTH, NOW)
    found.record(POOL, A, NO_PROBE, FailureClass.AUTH, NOW)
    probe = found.admit(POOL, A, at(900), 65.0)
    failed = replace(NO_PROBE, entry=probe)
    found.record(POOL, A, failed, FailureClass.PAYMENT, at(901))
    found.reset(A.quota_key, at(902))

    # then
    told = [
        (
            r.levelno,
            r.__dict__["member_id"],
            r.__dict__["state"],
            r.__dict__["failure"],
            r.__dict__["round"],
        )
        for r in caplog.records
    ]
    assert {r.getMessage() for r in caplog.records} == {"quarantine changed"}
    assert told == [
        (logging.WARNING, "a", "set aside", "auth", 1),
        (logging.WARNING, "a", "probing", "auth", 1),
        (logging.WARNING, "a", "set aside", "payment", 2),
        (logging.WARNING, "", "ended", "payment", 2),
    ]
