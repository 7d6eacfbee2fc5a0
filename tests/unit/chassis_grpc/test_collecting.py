"""When the garbage collector looks at everything."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from services.chassis.server.collecting import CHECK_S, collect, collecting, due
from tests.support.background import running
from tests.support.clock import ManualClock
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector of the tests is left as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize(
    ("young", "since_s", "took_s", "judging", "expected"),
    [
        pytest.param(10, 1.0, 0.0, False, True, id="as often as the collector would"),
        pytest.param(9, 1_000.0, 0.0, False, False, id="few young objects were left over"),
        pytest.param(10, 99.0, 0.5, False, False, id="the last one took half a second"),
        pytest.param(10, 100.0, 0.5, False, True, id="a two hundredth of the time"),
        pytest.param(10, 59.0, 0.0, True, False, id="a large request is judged"),
        pytest.param(10, 60.0, 0.0, True, True, id="large requests are judged all the time"),
    ],
)
def test_when_it_is_due(
    young: int, since_s: float, took_s: float, judging: bool, expected: bool
) -> None:
    assert due(young, since_s, took_s, judging) is expected


async def test_the_collector_does_not_look_at_everything_by_itself() -> None:
    async with collecting(ManualClock()):
        assert gc.get_threshold() == (10_000, 20, 1 << 30)


async def test_everything_is_looked_at_when_that_is_due() -> None:
    # given as many collections of younger objects as are waited for
    clock = ManualClock()
    async with collecting(clock), running(collect(clock, judging=lambda: False)):
        for _ in range(10):
            gc.collect(1)
        await until(lambda: clock.sleepers == 2)
        assert gc.get_count()[2] >= 10

        # when the time comes, then it is done
        clock.advance(CHECK_S)
        await until(lambda: gc.get_count()[2] < 10)
