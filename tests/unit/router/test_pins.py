from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.router.core.model import ReturnHome
from services.router.core.pins import (
    Pin,
    Pinned,
    Pins,
    Unpinned,
    pin_entry,
    pin_ttl_s,
    returns_home,
)
from services.router.core.routing_change import RoutingChange
from services.router.core.session import SessionKey
from services.router.core.shared_entry import Entry, Key, Kind, ended
from services.router.engine.changes import RoutingChanges
from tests.unit.router.builders import NOW, a_pin, at, member, target

POOL = target(member("a"), member("b"))


def key(session: str = "thread:t1", tenant: str = "default") -> SessionKey:
    return SessionKey(tenant, session)


@dataclass
class Held:
    """Pins, with what they report."""

    capacity: int = 10
    changes: RoutingChanges = field(default_factory=RoutingChanges)
    told: list[RoutingChange] = field(default_factory=list)
    pins: Pins = field(init=False)

    def __post_init__(self) -> None:
        self.pins = Pins(self.capacity, self.changes)
        self.changes.watch = self.told.append

    def stored(self) -> list[Entry[Any]]:
        """What is to be stored since the last call."""
        return self.changes.take_unsaved()


def holding(*pins: Pin, capacity: int = 10) -> Held:
    held = Held(capacity)
    for pin in pins:
        held.pins.put(pin)
    return held


def unpinned(at_s: float, session: str = "thread:t1") -> Entry[Any]:
    return ended(Kind.PIN, ("default", "pool", session), at(at_s))


def test_a_pin_is_found_by_tenant_pool_and_session() -> None:
    # given
    pins = holding(a_pin()).pins

    # when, then
    assert pins.find(key(), POOL, NOW) == a_pin()
    assert pins.find(key(tenant="other"), POOL, NOW) is None
    assert pins.find(key("thread:t2"), POOL, NOW) is None


def test_a_pin_expires_after_idle_time_and_its_row_stays_for_others() -> None:
    """A replica on which the session was not used must not end it for the one where it was."""
    # given
    held = holding(a_pin())
    held.stored()

    # when, then
    assert held.pins.find(key(), POOL, at(3599)) is not None
    assert held.pins.find(key(), POOL, at(3600)) is None
    assert len(held.pins) == 0
    assert held.stored() == []
    assert held.told == [Pinned(a_pin()), Unpinned(a_pin())]


def test_a_pin_of_another_revision_of_the_pool_is_dropped() -> None:
    # given
    pins = holding(a_pin(revision="r0")).pins

    # when, then
    assert pins.find(key(), POOL, NOW) is None
    assert len(pins) == 0


def test_a_use_restarts_the_time_to_live_and_clears_the_traceparent() -> None:
    # given a pin used after 3,000 s
    pin = a_pin()
    pins = holding(pin).pins
    pins.touch(pin, at(3000), "run-2")

    # when
    found = pins.find(key(), POOL, at(6000))

    # then
    assert found == replace(pin, used_at=at(3000), traceparent="", run_id="run-2")


def test_uses_are_stored_once_per_share_of_the_time_to_live() -> None:
    """A session with many calls must not write a row per call, nor expire in the store."""
    # given a stored pin without a traceparent, whose share is 225 s
    held = holding(a_pin(traceparent=""))
    held.stored()

    # when it is used every 100 s
    rows: list[Entry[Any]] = []
    for seconds in range(100, 601, 100):
        pin = held.pins.find(key(), POOL, at(seconds))
        assert pin is not None
        held.pins.touch(pin, at(seconds), "")
        rows += held.stored()

    # then
    assert [each.extended_at for each in rows] == [at(300), at(600)]


def test_round_robin_pins_stay_in_memory() -> None:
    # given
    held = holding(a_pin(stored=False))
    held.pins.touch(a_pin(stored=False), at(1000), "run-9")

    # when
    pin = held.pins.find(key(), POOL, at(1000))
    assert pin is not None
    held.pins.end(pin, at(1000))

    # then
    assert len(held.pins) == 0
    assert held.stored() == []


def test_the_least_recently_used_pin_is_forgotten_beyond_the_capacity() -> None:
    # given room for two
    first = a_pin("thread:t1")
    pins = holding(first, a_pin("thread:t2"), capacity=2).pins
    pins.touch(first, NOW, "")

    # when
    pins.put(a_pin("thread:t3"))

    # then
    assert pins.find(key("thread:t2"), POOL, NOW) is None
    assert pins.find(key("thread:t1"), POOL, NOW) is not None


def test_a_pin_that_was_used_since_is_not_forgotten() -> None:
    # given
    held = holding(a_pin())
    held.pins.touch(a_pin(), at(5), "")

    # when
    held.pins.forget(a_pin())

    # then
    assert held.pins.find(key(), POOL, at(5)) is not None


def test_what_is_stored_is_taken_in_unless_it_is_older() -> None:
    # given a pin made in this process, and room for two
    held = holding(a_pin("thread:t1", member_id="c"), capacity=2)
    held.told.clear()

    # when
    stored = [
        a_pin("thread:t1", used_at=at(-50)),
        a_pin("thread:t3", used_at=at(-20)),
        a_pin("thread:t2", used_at=at(-10)),
    ]
    for each in stored[:2]:
        held.pins.merge(pin_entry(each))
    later_use = a_pin("thread:t1", member_id="c", used_at=at(7))
    held.pins.merge(pin_entry(later_use))
    held.pins.merge(pin_entry(stored[2]))

    # then the least recently taken in is forgotten, and a use is nothing to tell
    assert held.pins.find(key("thread:t1"), POOL, at(3601)) == later_use
    assert held.pins.find(key("thread:t2"), POOL, NOW) == stored[2]
    assert held.told == [Pinned(stored[1]), Pinned(stored[2]), Unpinned(stored[1])]


def test_a_later_move_of_another_replica_wins_and_an_earlier_one_does_not() -> None:
    # given
    held = holding(a_pin(moved_at=at(5), used_at=at(5)))

    # when
    held.pins.merge(pin_entry(a_pin(member_id="old", moved_at=at(4), used_at=at(9))))
    before = held.pins.find(key(), POOL, at(9))
    held.pins.merge(pin_entry(a_pin(member_id="new", moved_at=at(6), used_at=at(6))))
    after = held.pins.find(key(), POOL, at(9))

    # then
    assert before is not None
    assert after is not None
    assert (before.member_id, after.member_id) == ("b", "new")


def test_an_end_removes_what_is_older_and_nothing_older_comes_back() -> None:
    # given a pin that another replica has ended after its last use
    held = holding(a_pin())
    held.pins.merge(unpinned(5))
    ended_there = held.pins.find(key(), POOL, at(5))

    # when the same pin comes with a later use, and again its end
    held.pins.merge(pin_entry(a_pin(used_at=at(9))))
    held.pins.merge(unpinned(5))

    # then
    assert ended_there is None
    assert held.pins.find(key(), POOL, at(9)) is None


def test_an_end_does_not_remove_a_later_move() -> None:
    # given
    held = holding(a_pin(moved_at=at(6), used_at=at(6)))

    # when
    held.pins.merge(unpinned(5))

    # then
    assert held.pins.find(key(), POOL, at(6)) is not None


def test_a_move_after_an_end_by_a_clock_that_is_ahead_counts() -> None:
    # given a session that was unpinned, by a clock that is 5 s ahead
    held = holding()
    held.pins.merge(unpinned(5))

    # when it moves
    held.pins.put(a_pin(moved_at=NOW))

    # then
    (stored,) = held.stored()
    assert stored.supersedes(unpinned(5))
    assert held.pins.find(key(), POOL, NOW) == stored.value


def test_an_end_is_stored_as_later_than_the_move() -> None:
    # given a pin that moved by a clock that is 5 s ahead
    held = holding(a_pin(moved_at=at(5), used_at=at(5)))
    (moved,) = held.stored()

    # when
    held.pins.end(a_pin(moved_at=at(5), used_at=at(5)), NOW)

    # then
    (end,) = held.stored()
    assert end.value is None
    assert end.supersedes(moved)


def test_a_pin_lasts_at_least_as_long_as_the_prompt_cache() -> None:
    # given
    pool = target(member("a", cache_ttl_s=7200.0), member("b"), pin_ttl_s=3600.0)

    # when, then
    assert pin_ttl_s(pool, pool.members[0]) == 7200.0
    assert pin_ttl_s(pool, pool.members[1]) == 3600.0


def test_a_session_returns_home_with_its_next_run_and_only_if_the_pool_says_so() -> None:
    # given
    stays = target(member("a"), member("b"))
    returns = target(member("a"), member("b"), return_home=ReturnHome.NEXT_SESSION)
    pin = a_pin(run_id="run-1")

    # when, then
    assert not returns_home(pin, stays, "run-2")
    assert returns_home(pin, returns, "run-2")
    assert not returns_home(pin, returns, "run-1")
    assert not returns_home(pin, returns, "")


class ReplicasMachine(RuleBasedStateMachine):
    """After any calls, replicas that have exchanged what they stored hold the same pins."""

    def __init__(self) -> None:
        super().__init__()
        self.replicas = [Held(), Held()]
        self.rows: dict[Key, Entry[Any]] = {}
        self.now_s = 0.0

    @rule(which=st.integers(0, 1), session=st.sampled_from("abc"), member_id=st.sampled_from("xy"))
    def move(self, which: int, session: str, member_id: str) -> None:
        self.now_s += 1
        now = at(self.now_s)
        self.replicas[which].pins.put(
            a_pin(session, member_id=member_id, moved_at=now, used_at=now, traceparent="")
        )

    @rule(which=st.integers(0, 1), session=st.sampled_from("abc"), ends=st.booleans())
    def use_or_end(self, which: int, session: str, ends: bool) -> None:
        self.now_s += 1
        pins = self.replicas[which].pins
        pin = pins.find(key(session), POOL, at(self.now_s))
        if pin is not None and ends:
            pins.end(pin, at(self.now_s))
        elif pin is not None:
            pins.touch(pin, at(self.now_s), "another run")

    @rule(which=st.integers(0, 1), fails=st.booleans())
    def write(self, which: int, fails: bool) -> None:
        changes = self.replicas[which].changes
        entries = changes.take_unsaved()
        if fails:
            changes.put_back(entries)
            return
        for each in entries:
            if each.supersedes(self.rows.get(each.key)):
                self.rows[each.key] = each

    @rule(which=st.integers(0, 1))
    def read(self, which: int) -> None:
        for each in self.rows.values():
            self.replicas[which].pins.merge(each)

    def teardown(self) -> None:
        for which in (0, 1):
            self.write(which, fails=False)
        self.replicas.append(Held())
        held = []
        for which, replica in enumerate(self.replicas):
            self.read(which)
            held.append({pin.session: pin.member_id for pin in replica.pins.all()})
        stored = {each.key[2]: each.value.member_id for each in self.rows.values() if each.value}
        assert held == [stored] * 3


TestReplicasMachine = ReplicasMachine.TestCase
TestReplicasMachine.settings = settings(stateful_step_count=30)
