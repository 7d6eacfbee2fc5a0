"""An error at each named moment of a pool: nothing of it is left, and a repeat continues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import select

from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from services.pool.store.tables import log, outbox
from tests.contract.pool.test_pool_store import TO_B, sql_service
from tests.support.engines import on_both_engines
from tests.support.pool_service import PoolService, condition, draft, run, seconds
from tests.support.profiles import amount, scaled

T = TypeVar("T")

MOMENTS = failpoints.names("pool.")

_LOG = statement(
    select(log.c.pool_id, log.c.sequence, log.c.kind).order_by(log.c.pool_id, log.c.sequence)
)
_OUTBOX = statement(select(outbox.c.lane, outbox.c.id).order_by(outbox.c.lane, outbox.c.seq))


class Story:
    """Two runs join a pool; one waits for a message, and for one that does not come."""

    def __init__(self, service: PoolService, store: Store, pool_id: str) -> None:
        self._service = service
        self._store = store
        self._pool_id = pool_id

    async def tell(self) -> None:
        service, pool = self._service, {"pool_id": self._pool_id}
        await self._do(lambda: service.open(**pool))
        await self._do(lambda: service.join("run-a", **pool))
        await self._do(lambda: service.join("run-b", "agent", "t", **pool))
        wait = condition("run-b", "message", TO_B)
        late = condition("run-b", "time", timeout=seconds(5))
        await self._do(lambda: service.suspend(wait, **pool))
        await self._do(lambda: service.suspend(late, **pool))
        await self._do(lambda: service.send(draft(run("run-b"), "k"), **pool))
        service.clock.advance(5)
        await self._do(service.fire_due)

    async def _do(self, command: Callable[[], Awaitable[T]]) -> T:
        before = await self.told()
        try:
            return await command()
        except FailpointError:
            assert await self.told() == before
            return await command()

    async def told(self) -> tuple[list[tuple[int, str]], list[str]]:
        """The log of the pool, and the wakes that leave."""
        logged = [each for each in await self._store.fetch(_LOG) if each.pool_id == self._pool_id]
        sent = await self._store.fetch(_OUTBOX)
        mine = [each.id for each in sent if each.lane.endswith(f"/{self._pool_id}")]
        return [(each.sequence, each.kind) for each in logged], mine


def test_every_moment_of_a_pool_has_a_name() -> None:
    assert MOMENTS == ["pool.join", "pool.send", "pool.trigger"]


@scaled
@on_both_engines
async def test_an_error_at_each_moment(url: str, engine: str) -> None:
    async with sql_service(url) as (service, store):
        # given what a pool does undisturbed
        undisturbed = Story(service, store, "undisturbed")
        await undisturbed.tell()
        expected = await undisturbed.told()

        most = amount(gate=1 if engine == "postgresql" else 9, chaos=9)
        failed = dict.fromkeys(MOMENTS, 0)
        for name in MOMENTS:
            for nth in range(1, most + 1):
                # when the database fails at a moment, and the caller or the loop repeats its work
                story = Story(service, store, f"{name}-{nth}")
                with failpoints.armed(f"{name}=error@{nth}") as arming:
                    await story.tell()
                if arming[name].reached < nth:
                    break

                # then the log is the same, and each wake leaves once
                failed[name] += 1
                assert await story.told() == expected

    # and every moment was tried as often as the story comes by
    comes_by = {"pool.join": 2, "pool.send": 1, "pool.trigger": 2}
    assert failed == {name: min(times, most) for name, times in comes_by.items()}
