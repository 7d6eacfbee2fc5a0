"""Instruments: declared once, recording into whatever is in force."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.chassis.clock import SystemClock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Idle, Page, follow
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.observe import metrics, telemetry
from services.chassis.observe.metrics import (
    Counter,
    Gauge,
    Histogram,
    ObservedUpDownCounter,
    UpDownCounter,
)
from tests.support.metrics import measuring
from tests.support.waiting import within_limit


@pytest.fixture(autouse=True)
def _declared_here_alone() -> Iterator[None]:
    """What a test declares is no metric of the product."""
    before = set(metrics.declared())
    yield
    for name in set(metrics.declared()) - before:
        del metrics._declared[name]


def test_every_kind_records_while_somebody_measures() -> None:
    # given
    counter, gauge = Counter("t.counter", "{one}", "…"), Gauge("t.gauge", "s", "…")
    histogram, held = Histogram("t.histogram", "s", "…", (1, 2)), UpDownCounter("t.held", "1", "…")

    # when
    with measuring() as measured:
        counter.add(2, {"outcome": "done"})
        counter.add(1, {"outcome": "done"})
        gauge.set(1.5)
        gauge.set(0.5)
        histogram.record(1.5)
        with held.one_more():
            during = measured.total("t.held")
        after = measured.total("t.held")

        # then
        assert measured.values("t.counter") == {(("outcome", "done"),): 3}
        assert measured.values("t.gauge") == {(): 0.5}
        point = measured.points("t.histogram")[()]
        assert (tuple(point.explicit_bounds), list(point.bucket_counts)) == ((1, 2), [0, 1, 0])
        assert (during, after) == (1, 0)


def test_an_instrument_records_with_whoever_measures_last() -> None:
    counter = Counter("t.moved", "{one}", "…")
    with measuring() as first:
        counter.add(1)
        with measuring() as second:
            counter.add(10)
            assert second.total("t.moved") == 10
        counter.add(100)
        assert first.total("t.moved") == 101


def test_nothing_is_recorded_before_and_after() -> None:
    counter = Counter("t.early", "{one}", "…")
    counter.add(1)
    with measuring() as first:
        counter.add(10)
        between = first.total("t.early")
    counter.add(100)
    with measuring() as second:
        assert second.total("t.early") == 0
    assert between == 10
    assert not metrics.measuring()


def test_a_set_up_without_metrics_leaves_those_in_force() -> None:
    """A server without an endpoint may start beside one that measures."""
    counter = Counter("t.beside", "{one}", "…")
    with measuring() as measured:
        other = telemetry.setup("other")
        counter.add(1)
        other.shutdown()
        counter.add(1)
        assert measured.total("t.beside") == 2


def test_what_is_held_when_measuring_begins_is_not_counted_when_it_is_let_go() -> None:
    held = UpDownCounter("t.kept", "1", "…")
    with held.one_more(), measuring() as measured:
        with held.one_more():
            pass
        total = measured.total("t.kept")
    assert total == 0


def test_what_is_observed_is_read_at_each_export_by_whoever_measures() -> None:
    # given two servers of one process that count calls
    active = ObservedUpDownCounter("t.active", "1", "…")
    calls = {"a": 1, "b": 5}
    with active.observing(lambda: [(calls["a"], {"method": "a"})]):
        with active.observing(lambda: [(calls["b"], {"method": "b"})]), measuring() as first:
            assert first.values("t.active") == {(("method", "a"),): 1, (("method", "b"),): 5}

            # when the counts change, and one of the servers stops
            calls["a"] = 2
        with measuring() as second:
            # then
            assert second.values("t.active") == {(("method", "a"),): 2}


def test_one_name_is_one_metric() -> None:
    Counter("t.once", "{one}", "…")
    with pytest.raises(ValueError, match=r"t\.once is declared twice"):
        Gauge("t.once", "s", "…")


async def test_followers_and_their_heartbeats_are_counted() -> None:
    # given a follower of a log in which nothing happens
    async def nothing(cursor: int) -> Page[int]:
        return Page((), cursor)

    clock = SystemClock()
    with measuring() as measured, LocalNotifier(clock).signal("log") as signal:
        feed = follow(nothing, signal, after=0, drain=Drain(), clock=clock, heartbeat_s=0.01)

        # when it has been told twice that nothing did
        async with within_limit():
            heard = [await anext(feed), await anext(feed)]
        during = measured.total("runyard.feed.followers")
        await feed.aclose()

        # then
        assert heard == [Idle(0), Idle(0)]
        assert during == 1
        assert measured.total("runyard.feed.followers") == 0
        assert measured.total("runyard.feed.heartbeats") == 2
