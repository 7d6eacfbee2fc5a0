from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.router.core.failures import FailureClass
from services.router.core.model import ReturnHome
from services.router.core.pins import Pin, Pins, pin_ttl_s, returns_home
from services.router.core.session import SessionKey
from tests.unit.router.build import member, target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POOL = target(member("a"), member("b"))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def key(session: str = "thread:t1", tenant: str = "default") -> SessionKey:
    return SessionKey(tenant, session)


def a_pin(session: str = "thread:t1", **changes: object) -> Pin:
    pin = Pin(
        tenant="default",
        pool_id="pool",
        session=session,
        revision="r1",
        member_id="b",
        home_member_id="a",
        reason=FailureClass.RATE_LIMIT,
        run_id="run-1",
        moved_at=NOW,
        used_at=NOW,
        ttl_s=3600.0,
        traceparent="00-1-2-01",
    )
    return replace(pin, **changes)  # type: ignore[arg-type]  # fields by name


def test_a_pin_is_found_by_tenant_pool_and_session() -> None:
    # given
    pins = Pins()
    pin = a_pin()
    pins.hold(pin)

    # when, then
    assert pins.find(key(), POOL, NOW) == pin
    assert pins.find(key(tenant="other"), POOL, NOW) is None
    assert pins.find(key("thread:t2"), POOL, NOW) is None


def test_a_pin_expires_after_idle_time() -> None:
    # given
    pins = Pins()
    pins.hold(a_pin())

    # when, then
    assert pins.find(key(), POOL, at(3599)) is not None
    assert pins.find(key(), POOL, at(3600)) is None
    assert len(pins) == 0
    assert pins.take_unsaved() == ([], [("default", "pool", "thread:t1")])


def test_a_pin_of_another_revision_of_the_pool_is_dropped() -> None:
    # given
    pins = Pins()
    pins.hold(a_pin(revision="r0"))

    # when, then
    assert pins.find(key(), POOL, NOW) is None
    assert len(pins) == 0


def test_using_a_pin_starts_its_time_anew_and_spends_its_link() -> None:
    # given a pin used after 3,000 s
    pins = Pins()
    pin = a_pin()
    pins.hold(pin)
    pins.use(pin, at(3000), "run-2")

    # when
    found = pins.find(key(), POOL, at(6000))

    # then
    assert found == replace(pin, used_at=at(3000), traceparent="", run_id="run-2")


def test_a_use_is_stored_only_when_there_is_something_to_tell() -> None:
    """A busy conversation must not write a row per call."""
    # given a stored pin whose link is spent
    pins = Pins()
    pin = a_pin(traceparent="")
    pins.hold(pin)
    pins.take_unsaved()

    # when it is used again soon, and much later
    pins.use(pin, at(200), "")
    soon = pins.take_unsaved()
    used = pins.find(key(), POOL, at(201))
    assert used is not None
    pins.use(used, at(500), "")
    later = pins.take_unsaved()

    # then
    assert soon == ([], [])
    assert [saved.used_at for saved in later[0]] == [at(500)]


def test_pins_made_in_turn_stay_in_memory() -> None:
    # given
    pins = Pins()
    pin = a_pin(stored=False)

    # when
    pins.hold(pin)
    pins.use(pin, at(1000), "run-9")
    held = pins.find(key(), POOL, at(1000))
    assert held is not None
    pins.drop(held)

    # then
    assert pins.take_unsaved() == ([], [])


def test_the_least_recently_used_goes_when_there_are_too_many() -> None:
    # given room for two
    pins = Pins(capacity=2)
    first, second = a_pin("thread:t1"), a_pin("thread:t2")
    pins.hold(first)
    pins.hold(second)
    pins.use(first, NOW, "")

    # when
    pins.hold(a_pin("thread:t3"))

    # then
    assert pins.find(key("thread:t2"), POOL, NOW) is None
    assert pins.find(key("thread:t1"), POOL, NOW) is not None
    assert ("default", "pool", "thread:t2") in pins.take_unsaved()[1]


def test_loading_keeps_what_is_newer_and_the_most_recent() -> None:
    # given a pin made in this process, and room for two
    pins = Pins(capacity=2)
    pins.hold(a_pin("thread:t1", member_id="c"))

    # when
    stored = [
        a_pin("thread:t1", used_at=at(-50)),
        a_pin("thread:t2", used_at=at(-10)),
        a_pin("thread:t3", used_at=at(-20)),
    ]
    pins.load(stored)

    # then
    assert len(pins) == 2
    kept = pins.find(key("thread:t2"), POOL, NOW)
    assert kept is not None
    assert pins.find(key("thread:t3"), POOL, NOW) is not None


def test_a_failed_write_is_tried_again_unless_something_newer_came() -> None:
    # given a write of two changes that fails, and a newer change of one
    pins = Pins()
    pins.hold(a_pin("thread:t1"))
    gone = a_pin("thread:t2")
    pins.hold(gone)
    pins.drop(gone)
    saved, dropped = pins.take_unsaved()
    newer = a_pin("thread:t1", member_id="c")
    pins.hold(newer)

    # when
    pins.put_back(saved, dropped)

    # then
    assert pins.take_unsaved() == ([newer], [("default", "pool", "thread:t2")])


def test_a_pin_lasts_as_long_as_the_prompt_cache() -> None:
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
    """Whatever happens, what is stored in the end is what is held, and never more than there is
    room for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pins = Pins(capacity=3)
        self.stored: dict[tuple[str, str, str], Pin] = {}
        self.now_s = 0.0

    @rule(session=st.sampled_from("abcdef"), stored=st.booleans())
    def hold(self, session: str, stored: bool) -> None:
        before = self.pins.find(key(session), POOL, at(self.now_s))
        if before is None or before.stored == stored:
            self.pins.hold(a_pin(session, used_at=at(self.now_s), stored=stored))

    @rule(session=st.sampled_from("abcdef"), idle_s=st.floats(0, 2000))
    def use_later(self, session: str, idle_s: float) -> None:
        self.now_s += idle_s
        pin = self.pins.find(key(session), POOL, at(self.now_s))
        if pin is not None:
            self.pins.use(pin, at(self.now_s), "")

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
TestPinsMachine.settings = settings(max_examples=60, stateful_step_count=30)
