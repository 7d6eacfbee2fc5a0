"""A PostgreSQL server that goes away, and comes back: nothing acknowledged is lost, all is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from sqlalchemy import Integer, text

from services.chassis import failpoints
from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import DatabaseRefusedError, OutcomeUnknownError
from services.chassis.store.opening import PostgresTuning, Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres_workers import Patience
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine, add, balance_in, ids
from tests.contract.chassis_store.schema import ADD, DEPOSIT, IDS
from tests.support.postgres import PrivateCluster, execute, private_cluster

PID = statement(text("SELECT pg_backend_pid() AS pid").columns(pid=Integer))
WRITERS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateCluster]:
    with private_cluster() as started:
        yield started


@pytest.fixture
def database(cluster: PrivateCluster) -> Iterator[Engine]:
    """The cluster's only database, emptied afterwards; whoever crashed it has started it again."""
    yield Engine("postgresql", cluster.url)
    execute(cluster.url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest_asyncio.fixture
async def store(database: Engine) -> AsyncIterator[Store]:
    async with database.open() as opened:
        yield opened


@dataclass
class Storm:
    """Writers that note what became of each row; every row takes two statements."""

    store: Store
    kept: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, name: int) -> None:
        number = 0
        while True:
            id_ = f"{name}-{number}"
            (await self._outcome(id_)).add(id_)
            self._changed.set()
            number += 1

    async def _outcome(self, id_: str) -> set[str]:
        def both(tx: Tx) -> None:
            tx.run(ADD, id=id_, balance=0)
            tx.run(DEPOSIT, id=id_, amount=1)

        try:
            await self.store.write(both)
        except OutcomeUnknownError:
            return self.unknown
        except StoreUnavailableError:
            return self.refused
        return self.kept

    async def more(self, outcome: set[str], count: int) -> None:
        """Until ``count`` more rows have that outcome."""
        wanted = len(outcome) + count
        while len(outcome) < wanted:
            self._changed.clear()
            await self._changed.wait()


@pytest.mark.parametrize("stop", [PrivateCluster.kill, PrivateCluster.stop])
async def test_a_server_that_stops_under_load_loses_nothing_acknowledged(
    cluster: PrivateCluster, database: Engine, stop: object
) -> None:
    # given writers in full flight, and little patience
    tuning = Tuning(postgres=PostgresTuning(patience=Patience(outage_s=0.3)))
    async with database.open(tuning=tuning) as store:
        storm = Storm(store)
        writers = [asyncio.ensure_future(storm.write(name)) for name in range(WRITERS)]
        await storm.more(storm.kept, 100)

        # when the server stops, callers are told, and it comes back
        await asyncio.to_thread(stop, cluster)  # type: ignore[arg-type]  # a method of it
        await storm.more(storm.refused, WRITERS)
        await asyncio.to_thread(cluster.start)

        # then the same store goes on
        await storm.more(storm.kept, 100)
        for each in writers:
            each.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        found = set(await ids(store))
        whole = await store.read(lambda tx: {balance_in(tx, each) for each in found})

    # what was acknowledged is there, what was refused is not, and nothing is there by half
    assert storm.kept <= found
    assert not storm.refused & found
    assert whole == {1}


async def test_a_short_restart_is_not_noticed(cluster: PrivateCluster, store: Store) -> None:
    # given
    await store.write(add("before"))

    # when
    await asyncio.to_thread(cluster.restart)

    # then
    assert await store.write(add("after")) == "after"
    assert await ids(store) == ["after", "before"]
    assert [row.id for row in await store.fetch(IDS)] == ["after", "before"]


async def test_who_waits_for_the_server_is_served_when_it_is_back(
    cluster: PrivateCluster, database: Engine
) -> None:
    """A closure is run again, so that a failover costs its caller a moment and no error."""
    patient = Tuning(postgres=PostgresTuning(patience=Patience(outage_s=60.0)))
    async with database.open(tuning=patient) as store:
        # given
        await asyncio.to_thread(cluster.kill)

        # when more want to write than there are threads
        waiting = [asyncio.ensure_future(store.write(add(f"{n:02}"))) for n in range(20)]
        reading = asyncio.ensure_future(ids(store))
        await asyncio.to_thread(cluster.start)

        # then
        assert await asyncio.gather(*waiting) == [f"{n:02}" for n in range(20)]
        assert set(await reading) <= set(await ids(store))


async def test_a_standby_is_waited_for_until_it_is_promoted(
    cluster: PrivateCluster, database: Engine
) -> None:
    """A failover: the address answers again, but for a while it takes no writes."""
    patient = Tuning(postgres=PostgresTuning(patience=Patience(outage_s=60.0)))
    async with database.open(tuning=patient) as store:
        # given
        await store.write(add("before"))
        await asyncio.to_thread(cluster.kill)
        (cluster.data / "standby.signal").touch()
        await asyncio.to_thread(cluster.start)

        # when
        waiting = asyncio.ensure_future(store.write(add("after")))
        with pytest.raises(DatabaseRefusedError, match="name the primary"):
            await database.open().__aenter__()
        assert not waiting.done()
        await asyncio.to_thread(execute, cluster.url, "SELECT pg_promote()")

        # then
        assert await waiting == "after"
        assert await ids(store) == ["after", "before"]


async def test_a_server_that_stays_away_makes_the_store_unavailable(
    cluster: PrivateCluster, database: Engine
) -> None:
    impatient = Tuning(postgres=PostgresTuning(patience=Patience(outage_s=0.05)))
    try:
        async with database.open(tuning=impatient) as store:
            # given
            await asyncio.to_thread(cluster.kill)

            # when
            outcomes = await asyncio.gather(
                *(store.write(add(str(n))) for n in range(20)),
                ids(store),
                store.fetch(IDS),
                return_exceptions=True,
            )

            # then
            assert {type(each) for each in outcomes} == {StoreUnavailableError}
            told = {(each.metadata["cause"], each.retry_after_s) for each in outcomes}  # type: ignore[union-attr]  # as just said
            assert told == {("CONNECTION_LOST", 1.0)}
            assert not any("127.0.0.1" in str(each) for each in outcomes)

            # and closing does not wait for it
    finally:
        await asyncio.to_thread(cluster.start)


async def test_a_connection_lost_in_the_commit_leaves_the_outcome_open(
    cluster: PrivateCluster, store: Store
) -> None:
    """Only its caller can find out, by its request id; running it again could do it twice."""
    # given a closure that has run, and is about to be committed
    pids: list[int] = []

    def adds(tx: Tx) -> None:
        tx.run(ADD, id="a", balance=0)
        pids.append(tx.all(PID)[0].pid)

    with failpoints.armed("store.committing=hang@1") as arming:
        writing = asyncio.ensure_future(store.write(adds))
        await asyncio.to_thread(arming["store.committing"].acted.wait)

        # when its connection is cut there
        execute(cluster.url, f"SELECT pg_terminate_backend({pids[0]}, 5000)")
    with pytest.raises(OutcomeUnknownError, match="repeat it with its request id") as unknown:
        await writing

    # then it was not run again
    assert unknown.value.metadata == {"cause": "OUTCOME_UNKNOWN"}
    assert len(pids) == 1
    assert await ids(store) == []


def _processes(cluster: PrivateCluster) -> list[int]:
    """Of the server: the first, and one for each connection."""
    (found,) = execute(cluster.url, "SELECT array_agg(pid) FROM pg_stat_activity")
    first = int((cluster.data / "postmaster.pid").read_text().split()[0])
    pids = found[0]
    assert isinstance(pids, list)
    return [first, *pids]


async def test_a_server_that_is_frozen_is_given_up_and_comes_back(
    cluster: PrivateCluster, database: Engine
) -> None:
    """Its kernel still acknowledges everything, so that no limit of TCP ends the wait."""
    patience = Patience(outage_s=0.5)
    tuning = Tuning(postgres=PostgresTuning(patience=patience, frozen_limit_s=0.5))
    async with database.open(tuning=tuning) as store:
        await store.write(add("before"))
        frozen = _processes(cluster)
        for pid in frozen:
            with suppress(ProcessLookupError):  # that of our own question has ended
                os.kill(pid, signal.SIGSTOP)
        try:
            # when
            async with asyncio.timeout(60):
                refused = await asyncio.gather(
                    *(store.write(add(str(number))) for number in range(20)),
                    store.read(lambda tx: tx.all(IDS)),
                    store.fetch(IDS),
                    return_exceptions=True,
                )
        finally:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        # then everybody has heard of it, and nothing of it stays
        assert {type(each) for each in refused} == {StoreUnavailableError}
        while True:
            with suppress(StoreUnavailableError):
                await store.write(add("after"))
                break
        assert await ids(store) == ["after", "before"]
