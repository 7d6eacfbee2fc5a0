"""The quarantine of a member, step by step, and against a plain model of its rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.router.core.failures import PERMANENT, FailureClass
from services.router.core.model import SwitchPolicy
from services.router.core.quarantine import (
    Entry,
    Quarantine,
    admit,
    after_result,
    allows,
    applies,
    as_of,
    is_shared,
    probe_at,
    quarantine_entry,
)
from services.router.core.shared_entry import END_KEPT_S
from tests.unit.router.builders import at, member, target

AUTH, PAYMENT = FailureClass.AUTH, FailureClass.PAYMENT
MINUTE_S = 60
LEASE_S = 65.0


def test_only_what_has_another_member_and_on_permanent_sets_members_aside() -> None:
    assert applies(target(member("a"), member("b")))
    assert not applies(target(member("a")))
    assert not applies(target(member("a"), member("b"), switch=SwitchPolicy(on_permanent=False)))


def test_begin_round_and_end_are_shared_and_probes_are_not() -> None:
    # given
    begun, again = Quarantine(AUTH, at(0)), Quarantine(AUTH, at(900), 2)
    probing, probe = admit(begun, at(900), LEASE_S)
    neutral = after_result(probing, probe, FailureClass.CANCELLED, at(910))

    # when, then
    assert is_shared(None, begun)
    assert is_shared(probing, again)
    assert is_shared(probing, None)
    assert not is_shared(None, None)
    assert not is_shared(begun, probing)
    assert not is_shared(probing, neutral)


def test_a_shared_quarantine_is_kept_longer_than_its_longest_pause_and_its_end_for_a_day() -> None:
    # given
    key = ("provider", "r1", "upstream", "digest")
    begun = quarantine_entry(key, Quarantine(AUTH, at(0)), at(1))
    end = quarantine_entry(key, None, at(2))

    # when, then
    assert end.supersedes(begun)
    assert (begun.value, begun.ends_at) == (Quarantine(AUTH, at(0)), at(14_401))
    assert (end.value, end.ends_at) == (None, at(2 + END_KEPT_S))


@pytest.mark.parametrize("kind", FailureClass)
def test_permanent_failures_alone_begin_a_quarantine(kind: FailureClass) -> None:
    begun = Quarantine(kind, at(0))
    assert after_result(None, Entry(at(0)), kind, at(0)) == (begun if kind in PERMANENT else None)


def test_the_probes_come_after_15_30_60_and_120_minutes() -> None:
    # given
    quarantine, now_s, pauses_min = Quarantine(AUTH, at(0)), 0.0, []

    # when each probe fails at once
    for _ in range(6):
        due = probe_at(quarantine)
        assert due is not None
        pauses_min.append((due - at(now_s)).total_seconds() / MINUTE_S)
        now_s += pauses_min[-1] * MINUTE_S
        assert not allows(quarantine, at(now_s - 0.000001))
        assert allows(quarantine, at(now_s))
        probing, entry = admit(quarantine, at(now_s), LEASE_S)
        again = after_result(probing, entry, PAYMENT, at(now_s))
        assert again is not None
        quarantine = again

    # then
    assert pauses_min == [15, 30, 60, 120, 120, 120]
    assert (quarantine.kind, quarantine.round) == (PAYMENT, 7)


def test_one_probe_at_a_time() -> None:
    # given
    probing, probe = admit(Quarantine(AUTH, at(0)), at(900), LEASE_S)

    # when another call comes in spite of the quarantine
    after, other = admit(probing, at(901), LEASE_S)

    # then
    assert probe == Entry(at(900), at(965))
    assert (after, other) == (probing, Entry(at(901)))
    assert probe_at(probing) is None
    assert not allows(probing, at(964.999))


@pytest.mark.parametrize(
    "answer", [None, FailureClass.INVALID_REQUEST, FailureClass.CONTENT_POLICY]
)
def test_an_answer_to_the_probe_ends_the_quarantine(answer: FailureClass | None) -> None:
    probing, probe = admit(Quarantine(AUTH, at(0), 3), at(3600), LEASE_S)
    assert after_result(probing, probe, answer, at(3601)) is None


@pytest.mark.parametrize(
    "end", [FailureClass.CANCELLED, FailureClass.RATE_LIMIT, FailureClass.SERVER_ERROR]
)
def test_a_probe_that_says_nothing_begins_the_same_round_again(end: FailureClass) -> None:
    probing, probe = admit(Quarantine(AUTH, at(0), 2), at(1800), LEASE_S)
    assert after_result(probing, probe, end, at(1803)) == Quarantine(AUTH, at(1803), 2)


def test_a_probe_whose_lease_expires_begins_the_same_round_again_at_that_instant() -> None:
    # given
    probing, probe = admit(Quarantine(AUTH, at(0), 2), at(1800), LEASE_S)
    expired = Quarantine(AUTH, at(1865), 2)

    # when, then its late result counts for nothing
    assert as_of(probing, at(1864.999)) == probing
    assert as_of(probing, at(9999)) == expired
    assert after_result(probing, probe, AUTH, at(1866)) == expired
    assert after_result(probing, probe, None, at(1866)) == expired
    assert not allows(probing, at(3664))
    assert allows(probing, at(3665))


def test_calls_that_fail_beside_one_another_begin_one_round() -> None:
    begun = after_result(None, Entry(at(0)), AUTH, at(1))
    assert after_result(begun, Entry(at(0)), PAYMENT, at(2)) == Quarantine(AUTH, at(1))


def test_an_answer_to_a_call_of_this_round_ends_it_and_to_an_older_call_does_not() -> None:
    begun = Quarantine(AUTH, at(10))
    assert after_result(begun, Entry(at(10)), None, at(12)) == begun
    assert after_result(begun, Entry(at(11)), None, at(12)) is None
    assert after_result(begun, Entry(at(11)), FailureClass.OVERLOADED, at(12)) == begun


@dataclass
class PlainQuarantine:
    """The rules with changing variables; a probe is known by the object that stands for it."""

    round: int = 0
    since_s: int = 0
    probe: list[int] = field(default_factory=list)

    def pass_time(self, now_s: int) -> None:
        if self.probe and self.probe[0] + 30 <= now_s:
            self.since_s, self.probe = self.probe[0] + 30, []

    def due_s(self) -> int:
        return self.since_s + {1: 900, 2: 1800, 3: 3600}.get(self.round, 7200)

    def begin(self, now_s: int) -> list[int] | None:
        """The probe that a call is, if it is one."""
        if self.round == 0 or self.probe or now_s < self.due_s():
            return None
        self.probe = [now_s]
        return self.probe

    def end(self, probe: list[int] | None, began_s: int, result: str, now_s: int) -> None:
        is_probe = bool(self.probe) and probe is self.probe
        if self.round == 0:
            if result == "permanent":
                self.round, self.since_s = 1, now_s
        elif result == "answer":
            if is_probe or began_s > self.since_s:
                self.round, self.since_s, self.probe = 0, 0, []
        elif is_probe:
            self.round += result == "permanent"
            self.since_s, self.probe = now_s, []


RESULTS = {"permanent": AUTH, "answer": None, "neutral": FailureClass.OVERLOADED}


class QuarantineMachine(RuleBasedStateMachine):
    """After any calls in any order, the quarantine is in the state of the plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.quarantine: Quarantine | None = None
        self.plain = PlainQuarantine()
        self.now_s = 0
        self.calls: list[tuple[Entry, list[int] | None, int]] = []

    @rule(seconds=st.integers(0, 40) | st.sampled_from([900, 1800, 3600, 7199, 7200]))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        self.plain.pass_time(self.now_s)

    @rule()
    def begin(self) -> None:
        entry = Entry(at(self.now_s))
        if self.quarantine is not None:
            may_probe = allows(self.quarantine, at(self.now_s))
            self.quarantine, entry = admit(self.quarantine, at(self.now_s), 30.0)
            assert may_probe == (entry.lease is not None)
        probe = self.plain.begin(self.now_s)
        assert (entry.lease is None) == (probe is None)
        self.calls.append((entry, probe, self.now_s))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), result=st.sampled_from(sorted(RESULTS)))
    def end(self, which: int, result: str) -> None:
        entry, probe, began_s = self.calls.pop(which % len(self.calls))
        self.quarantine = after_result(self.quarantine, entry, RESULTS[result], at(self.now_s))
        self.plain.end(probe, began_s, result, self.now_s)

    @invariant()
    def equals_the_plain_one(self) -> None:
        if self.quarantine is None:
            assert self.plain.round == 0
            return
        seen = as_of(self.quarantine, at(self.now_s))
        assert (seen.round, bool(seen.lease)) == (self.plain.round, bool(self.plain.probe))
        assert probe_at(seen) == (None if self.plain.probe else at(self.plain.due_s()))


TestQuarantineMachine = QuarantineMachine.TestCase
TestQuarantineMachine.settings = settings(max_examples=60, stateful_step_count=40)
