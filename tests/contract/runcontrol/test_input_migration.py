"""Input that a release before has stored is read, edited and handed over by this one."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import MetaData, column, insert, table

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.columns import EnumValue, Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.opening import migrate, open_store
from services.chassis.store.statement import statement
from services.runcontrol.api.codec import ProtobufCodec
from services.runcontrol.core.model import Input, InputDisposition, InputMode, InputState, Run
from services.runcontrol.store.rows import params_of
from services.runcontrol.store.statements import FIND_INPUT
from services.runcontrol.store.store import SqlStore
from services.runcontrol.store.tables import MIGRATIONS, metadata
from services.runcontrol.store.tables import run as run_table
from tests.support.clock import ManualClock
from tests.unit.runcontrol.in_memory_runcontrol import said

CODEC = ProtobufCodec()
# Of that release; later ones have more.
_RUN_COLUMNS = [
    "tenant", "run_id", "thread_id", "agent_id", "spec_digest", "registry_version", "deadline_at",
    "created_at", "max_rounds", "max_total_tokens", "state", "phase", "step", "step_seq",
    "rounds", "usage", "output_text", "termination", "waiting", "dispatch_id", "pool", "priority",
    "principal", "event_seq", "cancel_reason", "paused_at", "started_at", "ended_at",
    "traceparent", "parent_run_id", "parent_call_id", "depth",
]  # fmt: skip
_RUN = statement(
    insert(table("run", *(column(name, run_table.c[name].type) for name in _RUN_COLUMNS)))
)
_INPUT = statement(
    insert(
        table(
            "thread_input",
            column("tenant", Text),
            column("input_id", Text),
            column("thread_id", Text),
            column("run_id", Text),
            column("seq", Integer),
            column("messages", LargeBinary),
            column("created_at", UtcMicros),
            column("state", EnumValue(InputState)),
            column("revision", Integer),
        )
    )
)


async def test_input_of_the_release_before_is_that_of_its_runs_agent(
    database_url: str, tmp_path: Path
) -> None:
    # given a database of the release before, with a queued run and its input
    before = tmp_path / "before" / "versions"
    before.mkdir(parents=True)
    for path in (MIGRATIONS / "versions").glob("000[1-6]_*.py"):
        shutil.copy(path, before)
    migrate(database_url, metadata=MetaData(), migrations=before.parent)
    clock = ManualClock()
    now = clock.now()
    run = Run(
        tenant="a",
        run_id="r",
        thread_id="t",
        agent_id="helper",
        spec_digest=b"",
        registry_version=1,
        deadline_at=now,
        created_at=now,
        max_rounds=16,
    )
    row = {
        "tenant": "a",
        "input_id": "i",
        "thread_id": "t",
        "run_id": "r",
        "seq": 2,
        "messages": CODEC.encode_messages((said("go"),)),
        "created_at": now,
        "state": InputState.PENDING,
        "revision": 1,
    }
    notifier = LocalNotifier(clock)
    older = open_store(
        database_url, metadata=MetaData(), migrations=before.parent, notifier=notifier
    )
    async with older as store:
        await store.write(lambda tx: tx.run(_RUN, **_of_that_release(run)))
        await store.write(lambda tx: tx.run(_INPUT, **row))

    # when this release opens it
    opened = open_store(database_url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)
    async with opened as store:
        stored = SqlStore(store, CODEC, clock)
        found = await stored.write(lambda tx: tx.input("a", "i"))
        rows = await store.fetch(FIND_INPUT, tenant="a", input_id="i")

    # then the input is whole, and of the run's agent
    assert len(rows) == 1
    assert found == Input(
        tenant="a",
        input_id="i",
        thread_id="t",
        run_id="r",
        seq=2,
        messages=(said("go"),),
        created_at=now,
        agent_id="helper",
        mode=InputMode.QUEUE,
        disposition=InputDisposition.QUEUED,
    )


def _of_that_release(run: Run) -> dict[str, object]:
    return {name: value for name, value in params_of(run).items() if name in _RUN_COLUMNS}
