"""What the store and the outbox leave in the metrics."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.errors import InvalidRequestError, StoreUnavailableError, Violation
from services.chassis.outbox.metrics import tried
from services.chassis.outbox.rows import OutboxRow
from services.chassis.store.port import Tx
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.schema import raising
from tests.support.clock import START, ManualClock
from tests.support.metrics import measuring

DURATION = "runyard.store.duration"
QUEUED = "runyard.store.queue.duration"
CLOSURES = "runyard.store.commit.closures"


def _refuse(tx: Tx) -> None:
    raise InvalidRequestError.of([Violation("id", "must not be empty")])


async def test_work_is_timed_by_kind_and_commits_count_their_closures(sqlite_url: str) -> None:
    with measuring() as measured:
        # given a store that somebody measures
        async with Engine(sqlite_url).open() as store:
            # when it writes, reads and refuses
            await asyncio.gather(*(store.write(lambda tx: None) for _ in range(5)))
            await store.read(lambda tx: None)
            with pytest.raises(InvalidRequestError):
                await store.write(_refuse)
            facts = store.info.engine, store.sole_owner

        # then each is a duration of its kind, and a refusal one by its reason
        work = "runyard.store.work"
        assert measured.values(DURATION) == {
            ((work, "write"),): 5,
            ((work, "read"),): 1,
            (("error.type", "INVALID_REQUEST"), (work, "write")): 1,
        }
        assert measured.values(QUEUED) == {((work, "write"),): 6, ((work, "read"),): 1}
        (commits,) = measured.points(CLOSURES).values()
        assert commits.sum == 6
        assert commits.count <= 6
    assert facts == ("sqlite", True)


@pytest.mark.parametrize(
    ("state", "cause"), [("40001", "SERIALIZATION_FAILURE"), ("40P01", "DEADLOCK_DETECTED")]
)
async def test_closures_that_run_again_count_by_cause(
    state: str, cause: str, postgres_url: str
) -> None:
    # given a closure that conflicts twice, and one that fails for good
    runs: list[str] = []

    def conflicts(tx: Tx) -> None:
        runs.append("run")
        if len(runs) < 3:
            tx.run(raising(state))

    with measuring() as measured:
        async with Engine(postgres_url).open() as store:
            # when
            await store.write(conflicts)
            with pytest.raises(StoreUnavailableError):
                await store.write(lambda tx: tx.run(raising("53200")))

        # then the two repeats count, and neither the first run nor the failure
        assert measured.values("runyard.store.retries") == {(("error.type", cause),): 2}


def test_tries_of_the_outbox_count_by_outcome_with_the_age_of_their_row() -> None:
    # given a row that was put 40 seconds ago
    clock = ManualClock()
    row = OutboxRow("lane", 1, "id", "pool.send", b"", "", 0, START)
    clock.advance(40)

    # when two tries of it end
    with measuring() as measured:
        tried(row, "postponed", clock.now())
        tried(row, "delivered", clock.now())

        # then
        kind = ("runyard.outbox.kind", "pool.send")
        assert measured.values("runyard.outbox.attempts") == {
            (kind, ("runyard.outcome", "delivered")): 1,
            (kind, ("runyard.outcome", "postponed")): 1,
        }
        ages = measured.points("runyard.outbox.age")
        assert {point.sum for point in ages.values()} == {40.0}
