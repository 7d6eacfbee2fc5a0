from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.router.core.model import ReturnHome
from services.router.core.pins import Pin, Pins, pin_ttl_s, returns_home
from services.router.core.session import SessionKey
from tests.unit.router.builders import NOW, a_pin, at, member, target

POOL = target(member("a"), member("b"))


def key(session: str = "thread:t1", tenant: str = "default") -> SessionKey:
    return SessionKey(tenant, session)


def holding(*pins: Pin, capacity: int = 10) -> Pins:
    held = Pins(capacity)
    for pin in pins:
        held.put(pin)
    return held


def test_a_pin_is_found_by_tenant_pool_and_session() -> None:
    # given
    pins = holding(a_pin())

    # when, then
    assert pins.find(key(), POOL, NOW) == a_pin()
    assert pins.find(key(tenant="other"), POOL, NOW) is None
    assert pins.find(key("thread:t2"), POOL, NOW) is None


def test_a_pin_expires_after_idle_time() -> None:
    # given
    pins = holding(a_pin())

    # when, then
    assert pins.find(key(), POOL, at(3599)) is not None
    assert pins.find(key(), POOL, at(3600)) is None
    assert len(pins) == 0
    assert pins.take_unsaved() == ([], [("default", "pool", "thread:t1")])


def test_a_pin_of_another_revision_of_the_pool_is_dropped() -> None:
    # given
    pins = holding(a_pin(revision="r0"))

    # when, then
    assert pins.find(key(), POOL, NOW) is None
    assert len(pins) == 0


def test_a_use_restarts_the_time_to_live_and_clears_the_traceparent() -> None:
    # given a pin used after 3,000 s
    pin = a_pin()
    pins = holding(pin)
    pins.touch(pin, at(3000), "run-2")

    # when
    found = pins.find(key(), POOL, at(6000))

    # then
    assert found == replace(pin, used_at=at(3000), traceparent="", run_id="run-2")


def test_a_use_is_stored_only_after_a_share_of_the_time_to_live() -> None:
    """A session with many calls must not write a row per call."""
    # given a stored pin without a traceparent
    pin = a_pin(traceparent="")
    pins = holding(pin)
    pins.take_unsaved()

    # when it is used soon, and much later
    pins.touch(pin, at(200), "")
    soon = pins.take_unsaved()
    used = pins.find(key(), POOL, at(201))
    assert used is not None
    pins.touch(used, at(500), "")
    later = pins.take_unsaved()

    # then
    assert soon == ([], [])
    assert [saved.used_at for saved in later[0]] == [at(500)]


def test_round_robin_pins_stay_in_memory() -> None:
    # given
    pin = a_pin(stored=False)

    # when
    pins = holding(pin)
    pins.touch(pin, at(1000), "run-9")
    held = pins.find(key(), POOL, at(1000))
    assert held is not None
    pins.remove(held)

    # then
    assert pins.take_unsaved() == ([], [])


def test_the_least_recently_used_pin_is_removed_beyond_the_capacity() -> None:
    # given room for two
    first = a_pin("thread:t1")
    pins = holding(first, a_pin("thread:t2"), capacity=2)
    pins.touch(first, NOW, "")

    # when
    pins.put(a_pin("thread:t3"))

    # then
    assert pins.find(key("thread:t2"), POOL, NOW) is None
    assert pins.find(key("thread:t1"), POOL, NOW) is not None
    assert ("default", "pool", "thread:t2") in pins.take_unsaved()[1]


def test_loading_keeps_what_is_newer_and_the_most_recent() -> None:
    # given a pin made in this process, and room for two
    pins = holding(a_pin("thread:t1", member_id="c"), capacity=2)

    # when
    stored = [
        a_pin("thread:t1", used_at=at(-50)),
        a_pin("thread:t2", used_at=at(-10)),
        a_pin("thread:t3", used_at=at(-20)),
    ]
    pins.load(stored)

    # then
    assert len(pins) == 2
    assert pins.find(key("thread:t2"), POOL, NOW) is not None
    assert pins.find(key("thread:t3"), POOL, NOW) is not None


def test_a_failed_write_is_tried_again_unless_something_newer_came() -> None:
    # given a write of two changes that fails, and a newer change of one
    gone = a_pin("thread:t2")
    pins = holding(a_pin("thread:t1"), gone)
    pins.remove(gone)
    saved, dropped = pins.take_unsaved()
    newer = a_pin("thread:t1", member_id="c")
    pins.put(newer)

    # when
    pins.put_back(saved, dropped)

    # then
    assert pins.take_unsaved() == ([newer], [("default", "pool", "thread:t2")])


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


class PinsMachine(RuleBasedStateMachine):
    """After any calls, the stored pins equal the pins in memory, within the capacity."""

    def __init__(self) -> None:
        super().__init__()
        self.pins = Pins(capacity=3)
        self.stored: dict[tuple[str, str, str], Pin] = {}
        self.now_s = 0.0

    @rule(session=st.sampled_from("abcdef"), stored=st.booleans())
    def hold(self, session: str, stored: bool) -> None:
        before = self.pins.find(key(session), POOL, at(self.now_s))
        if before is None or before.stored == stored:
            self.pins.put(a_pin(session, used_at=at(self.now_s), stored=stored))

    @rule(session=st.sampled_from("abcdef"), idle_s=st.floats(0, 2000))
    def use_later(self, session: str, idle_s: float) -> None:
        self.now_s += idle_s
        pin = self.pins.find(key(session), POOL, at(self.now_s))
        if pin is not None:
            self.pins.touch(pin, at(self.now_s), "")

    @rule(fails=st.booleans())
    def flush(self, fails: bool) -> None:
        saved, gone = self.pins.take_unsaved()
        if fails:
            self.pins.put_back(saved, gone)
            return
        self.stored.update({pin.key: pin for pin in saved})
        for place in gone:
            self.stored.pop(place, None)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.pins) <= 3

    def teardown(self) -> None:
        self.flush(fails=False)
        held = {
            pin.key: pin
            for session in "abcdef"
            if (pin := self.pins.find(key(session), POOL, at(self.now_s))) and pin.stored
        }
        self.flush(fails=False)
        assert self.stored.keys() == held.keys()


TestPinsMachine = PinsMachine.TestCase
TestPinsMachine.settings = settings(stateful_step_count=30)
