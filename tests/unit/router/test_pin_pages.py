"""Pages of pins: whose, in which order, and which have ended."""

from __future__ import annotations

from services.router.core.pins import Pin, PinQuery, page_of_pins
from tests.unit.router.builders import NOW, a_pin, at, member, target

POOL = target(member("a"), member("b"))
EVERY = PinQuery(target_id="", after=None, limit=10)


def page(*pins: Pin, query: PinQuery = EVERY, at_s: float = 0.0) -> list[tuple[str, str]]:
    targets = {"pool": POOL, "other": POOL}
    found = page_of_pins(pins, "default", query, targets, at(at_s))
    return [(pin.pool_id, pin.session) for pin in found]


def test_pins_are_sorted_by_pool_and_session() -> None:
    pins = [a_pin("thread:b"), a_pin("thread:a"), a_pin("run:z"), a_pin("key:x", pool_id="other")]

    assert page(*pins) == [
        ("other", "key:x"),
        ("pool", "run:z"),
        ("pool", "thread:a"),
        ("pool", "thread:b"),
    ]


def test_a_page_begins_after_the_last_pin_of_the_one_before() -> None:
    # given
    pins = [a_pin(f"thread:{n}", pool_id=pool_id) for pool_id in ("pool", "other") for n in (1, 2)]
    after = PinQuery("", ("other", "thread:2"), 1)

    # when, then
    assert page(*pins, query=after) == [("pool", "thread:1")]


def test_pins_of_other_tenants_are_not_told() -> None:
    assert page(a_pin(), a_pin("thread:theirs", tenant="other")) == [("pool", "thread:t1")]


def test_pins_that_have_ended_are_not_told() -> None:
    # given one that expires after 3,600 s, one of an older revision, one of a pool that is gone
    pins = [a_pin(), a_pin("thread:old", revision="r0"), a_pin("thread:gone", pool_id="gone")]

    # when, then
    assert page(*pins, at_s=3599) == [("pool", "thread:t1")]
    assert page(*pins, at_s=3600) == []


def test_pins_of_targets_that_are_not_wanted_are_not_told() -> None:
    found = page_of_pins([a_pin()], "default", EVERY, {"other": POOL}, NOW)

    assert found == []
