"""In whatever order puts, failures, refusals, restarts and time come, lanes keep their order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.chassis.outbox import SenderTuning
from tests.contract.chassis_store.engines import sqlite_engine
from tests.contract.chassis_store.outbox_desk import REFUSE, desk

T = TypeVar("T")

# More than the longest pause, so that every lane that is held up tries again.
_PATIENCE_S = 61.0
_OUTCOMES = {"deliver": None, "fail": OSError("unreachable"), "refuse": REFUSE}


class ModelLane:
    """What one lane should do: rows in order, each with the outcomes still to come."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[str]]] = []
        self.seen: set[str] = set()
        self.held_up = False
        self.attempts: list[str] = []
        self.answers: list[str] = []

    def put(self, id_: str, script: list[str]) -> None:
        if id_ not in self.seen:
            self.seen.add(id_)
            self.rows.append((id_, list(script)))

    def run(self) -> None:
        """Deliver until the lane is empty or its head has failed."""
        while self.rows and not self.held_up:
            id_, script = self.rows[0]
            self.attempts.append(id_)
            outcome = script.pop(0) if script else "deliver"
            if outcome == "fail":
                self.held_up = True
                return
            word = "UNKNOWN_RUN" if outcome == "refuse" else f"answer to {id_}"
            self.answers.append(f"{id_}: {word}")
            self.rows.pop(0)


class OutboxMachine(RuleBasedStateMachine):
    """Three lanes of one outbox against a model of each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        engine = sqlite_engine(Path(self.folder.name))
        tuning = SenderTuning(lanes=2, rows_per_turn=2)
        self.at = self._do(self.stack.enter_async_context(desk(engine, tuning=tuning)))
        self.model = {lane: ModelLane() for lane in "abc"}
        self._do(self._restart())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def _restart(self) -> None:
        await self.at.stop()
        self.at.start()
        await self.at.quiet()

    async def _put_and_wait(self, rows: list[str]) -> None:
        await self.at.put(*rows)
        await self.at.quiet()

    def _check(self) -> None:
        for lane, model in self.model.items():
            assert self.at.receiver.ids(lane) == model.attempts
        expected = sorted(answer for model in self.model.values() for answer in model.answers)
        assert self._do(self.at.answers()) == expected

    @rule(
        lanes=st.lists(st.sampled_from("abc"), min_size=1, max_size=5),
        scripts=st.lists(
            st.lists(st.sampled_from(["fail", "deliver", "refuse"]), max_size=3),
            min_size=5,
            max_size=5,
        ),
        number=st.integers(0, 30),
    )
    def put(self, lanes: list[str], scripts: list[list[str]], number: int) -> None:
        """One transaction with rows of several lanes; some ids were put before."""
        rows = []
        for offset, (lane, script) in enumerate(zip(lanes, scripts, strict=False)):
            id_ = f"{lane}{number + offset}"
            if id_ not in self.model[lane].seen:
                self.at.receiver.scripts[id_] = [_OUTCOMES[each] for each in script]
            self.model[lane].put(id_, script)
            rows.append(f"{lane}/{id_}")
        self._do(self._put_and_wait(rows))
        for model in self.model.values():
            model.run()
        self._check()

    @rule()
    def wait(self) -> None:
        for model in self.model.values():
            model.held_up = False
            model.run()
        self._do(self.at.after(_PATIENCE_S))
        self._check()

    @rule()
    def restart(self) -> None:
        """Pauses survive: a new process does not storm a receiver that is down."""
        self._do(self._restart())
        self._check()

    def teardown(self) -> None:
        while any(model.rows for model in self.model.values()):
            self.wait()
        self._do(self.stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


TestOutbox = OutboxMachine.TestCase
# Each example opens a database: a third of what the profile says is as long as the others take.
TestOutbox.settings = settings(max_examples=settings().max_examples // 3, stateful_step_count=20)
