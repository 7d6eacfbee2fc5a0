"""What the registry leaves in the metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import Client, refused, started
from tests.support.clock import ManualClock
from tests.support.metrics import Measured, measuring
from tests.support.registry_resources import model, provider, quickstart
from tests.support.waiting import until, within_limit

CALLS = "rpc.server.call.duration"
VIOLATIONS = "runyard.rpc.server.violations"
VERSION = "runyard.registry.version"
WATCHERS = "runyard.registry.watchers"
LAG = "runyard.registry.watch.lag"
RETIRED = "runyard.registry.retired_versions"


@pytest.fixture(autouse=True)
def measured() -> Iterator[Measured]:
    """Measure from before the start of the registry."""
    with measuring("registry") as found:
        yield found


async def test_mutations_count_by_how_they_ended_and_violations_by_their_code(
    registry: Client, measured: Measured
) -> None:
    # when one is done, repeated, refused for its version and for two dangling references
    await registry.apply(*quickstart(), request_id="once")
    await registry.apply(*quickstart(), request_id="once")
    await refused(registry.apply(provider("p"), expected_version=9))
    await refused(registry.apply(model("m1", "nobody"), model("m2", "nobody")))

    # then, once the last of them is measured, which is after its answer
    async with within_limit():
        await until(lambda: measured.total(CALLS) == 4)
    outcomes = {dict(key)["runyard.outcome"]: n for key, n in measured.values(CALLS).items()}
    assert outcomes == {"done": 1, "replayed": 1, "VERSION_MISMATCH": 1, "INVALID_REQUEST": 1}
    ((key, count),) = measured.values(VIOLATIONS).items()
    assert dict(key) == {
        "rpc.method": "runyard.registry.v1.RegistryService/ApplyResources",
        "runyard.violation": "model_missing_provider",
    }
    assert count == 2


async def test_the_current_version_is_shown_from_the_start(
    registry: Client, measured: Measured
) -> None:
    async with within_limit():
        await until(lambda: measured.values(VERSION) == {(): 1})
        await registry.apply(*quickstart())
        await until(lambda: measured.values(VERSION) == {(): 2})


async def test_watchers_are_counted_and_their_lag_is_that_of_what_they_waited_for(
    registry: Client, measured: Measured, clock: ManualClock
) -> None:
    # given a version that is an hour old
    await registry.apply(*quickstart())
    clock.advance(3_600)
    async with registry.watching() as watch:
        # when a watcher comes, gets it, and then what is published while it waits
        await watch.change()
        before = measured.total(LAG)
        await registry.publish("second")
        await watch.change()
        await registry.publish("third")
        await watch.change()
        open_watches = measured.total(WATCHERS)

    # then only what it waited for has a lag
    async with within_limit():
        await until(lambda: measured.total(WATCHERS) == 0)
    (lag,) = measured.points(LAG).values()
    assert before == 0
    assert open_watches == 1
    assert lag.count >= 1
    assert lag.max < 3_600


async def test_versions_that_retention_lets_go_are_counted(
    settings: RegistrySettings, measured: Measured, clock: ManualClock
) -> None:
    # given a registry that keeps the newest version alone, at version 4
    few = settings.model_copy(update={"keep_versions": 1, "keep_days": 0.0})
    async with started(few, clock) as registry:
        await registry.publish("a", "b", "c")

        # when retention has gone round
        async with within_limit():
            await until(lambda: measured.total(RETIRED) == 3, lambda: clock.advance(60))
