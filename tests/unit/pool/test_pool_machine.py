"""The invariants of a pool hold after any sequence of commands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st

from services.chassis.errors import DomainError
from services.pool.core.events import EventFilter, Start, Wake, WakeState
from services.pool.core.model import (
    Address,
    Delivery,
    DeliveryState,
    MessageState,
    ResponseContract,
)
from tests.support.pool_service import (
    POOL,
    PoolService,
    agent,
    condition,
    draft,
    everyone,
    run,
    seconds,
    topic,
)

pytestmark = pytest.mark.slow

TimeOut: TypeAlias = timedelta | None
RUNS = ("run-a", "run-b", "run-c")
FILTERS = st.sampled_from(
    [
        EventFilter(),
        EventFilter(kinds=("message.delivered",)),
        EventFilter(recipient_run_ids=("run-b",)),
        EventFilter(terminal_only=True),
        EventFilter(sender_run_ids=("run-a",), kinds=("message.*",)),
    ]
)
ADDRESSES = st.sampled_from([run("run-b"), agent("x"), topic("t"), everyone()])


class PoolMachine(stateful.RuleBasedStateMachine):
    """Runs join, send, respond, fetch, acknowledge, wait and cancel while time passes."""

    messages = stateful.Bundle("messages")
    tokens = stateful.Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.service = PoolService()
        self.count = 0
        self.ended: dict[str, Wake] = {}
        self.acked: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        self.loop.close()

    def do(self, coroutine: Any) -> Any:
        """The result, or None where the pool refuses."""
        try:
            return self.loop.run_until_complete(coroutine)
        except DomainError:
            return None

    def key(self) -> str:
        self.count += 1
        return f"k{self.count}"

    @stateful.initialize()
    def opened(self) -> None:
        self.do(self.service.open())

    @stateful.rule(run=st.sampled_from(RUNS), topics=st.sampled_from([(), ("t",)]))
    def join(self, run: str, topics: tuple[str, ...]) -> None:
        self.do(self.service.join(run, "x" if run != "run-c" else "y", *topics))

    @stateful.rule(
        target=messages,
        sender=st.sampled_from(RUNS),
        to=ADDRESSES,
        expected=st.sampled_from([0, 1, 2]),
        timeout=st.sampled_from([None, seconds(0), seconds(5)]),
        good_for=st.sampled_from([None, seconds(0), seconds(7)]),
    )
    def send(
        self, sender: str, to: Address, expected: int, timeout: TimeOut, good_for: TimeOut
    ) -> str:
        key = self.key()
        contract = ResponseContract(expected, timeout) if expected else None
        expires = None if good_for is None else self.service.clock.now() + good_for
        asking = draft(to, key, sender, contract=contract, expire_time=expires)
        first, again = self.do(self.service.send(asking)), self.do(self.service.send(asking))
        if first is not None:
            assert again.deduplicated
            assert again.record == first.record
        return f"m-{key}"

    @stateful.rule(message=messages, run=st.sampled_from(RUNS))
    def respond(self, message: str, run: str) -> None:
        self.do(self.service.respond(run, message, self.key()))

    @stateful.rule(target=tokens, run=st.sampled_from(RUNS), limit=st.sampled_from([1, 3]))
    def fetch(self, run: str, limit: int) -> list[Delivery]:
        fetched = self.do(self.service.fetch(run, limit=limit, lease_s=3))
        taken = [each.delivery for each in fetched.deliveries] if fetched else []
        assert [d.sequence for d in taken] == sorted(d.sequence for d in taken)
        assert not {(d.run_id, d.message_id) for d in taken} & self.acked
        return taken

    @stateful.rule(taken=tokens)
    def ack(self, taken: list[Delivery]) -> None:
        for delivery in taken:
            token = delivery.lease_token
            if self.do(self.service.ack(delivery.run_id, delivery.message_id, token)):
                self.acked.add((delivery.run_id, delivery.message_id))

    @stateful.rule(
        run=st.sampled_from(RUNS),
        wanted=FILTERS,
        after_matches=st.sampled_from([1, 3]),
        timeout=st.sampled_from([None, seconds(0), seconds(4)]),
        start=st.sampled_from(list(Start)),
    )
    def suspend(
        self, run: str, wanted: EventFilter, after_matches: int, timeout: TimeOut, start: Start
    ) -> None:
        waited = condition(
            run, self.key(), wanted, after_matches=after_matches, timeout=timeout, match_from=start
        )
        self.do(self.service.suspend(waited))

    @stateful.precondition(lambda self: self.service.memory.wakes)
    @stateful.rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(key[1] for key in self.service.memory.wakes)))
        self.do(self.service.wakes.cancel(self.service.caller, POOL, chosen))

    @stateful.rule(delta_s=st.sampled_from([1, 3, 8]), fire=st.booleans())
    def pass_time(self, delta_s: int, fire: bool) -> None:
        self.service.clock.advance(delta_s)
        if fire:
            self.do(self.service.fire_due())

    @stateful.invariant()
    def log_has_no_gap(self) -> None:
        sequences = [event.sequence for _, event, _, _ in self.service.memory.log]
        assert sequences == list(range(1, len(sequences) + 1))
        for pool in self.service.memory.pools.values():
            assert pool.head_sequence == len(sequences)

    @stateful.invariant()
    def wakes_end_once_and_are_enqueued_once(self) -> None:
        wakes = {key[1]: wake for key, wake in self.service.memory.wakes.items()}
        over = {k: wake for k, wake in wakes.items() if wake.state is not WakeState.REGISTERED}
        for condition_id, before in self.ended.items():
            assert over[condition_id] == before
        self.ended = over
        enqueued = [wake.condition.condition_id for _, wake, _ in self.service.memory.outbox]
        assert sorted(enqueued) == sorted(over)
        for pool in self.service.memory.pools.values():
            assert pool.open_wakes == len(wakes) - len(over)

    @stateful.invariant()
    def receipts_agree_with_the_log_and_the_inboxes(self) -> None:
        tables = self.service.memory
        last = {
            event.message_id: event.kind.value for _, event, _, _ in tables.log if event.message_id
        }
        for (_, message_id), record in tables.messages.items():
            receipt = record.receipt
            assert last[message_id] == f"message.{receipt.state.value}"
            inbox = {run for _, m, run in tables.deliveries if m == message_id}
            assert inbox == {recipient.run_id for recipient in receipt.delivered_to}
            if receipt.state is MessageState.EXPIRED:
                open_ = [d for k, d in tables.deliveries.items() if k[1] == message_id]
                assert all(d.state is DeliveryState.EXPIRED for d in open_)

    @stateful.invariant()
    def no_contract_is_met_and_open(self) -> None:
        tables = self.service.memory
        for (_, message_id), record in tables.messages.items():
            contract = record.message.contract
            if contract and record.receipt.state is MessageState.DELIVERED:
                answers = sum(key[1] == message_id for key in tables.replies)
                assert answers < contract.expected_responses


PoolMachine.TestCase.settings = settings(stateful_step_count=30)
TestPool = PoolMachine.TestCase
