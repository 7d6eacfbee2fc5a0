"""In whatever order a pool is used, its invariants hold."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from services.chassis.errors import DomainError
from services.pool.core.events import EventFilter, Start, Wake, WakeState
from services.pool.core.model import (
    Address,
    Delivery,
    DeliveryState,
    MessageState,
    ResponseContract,
    TargetKind,
)
from tests.support.pool_desk import POOL, PoolDesk, condition, draft, seconds

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
ADDRESSES = st.sampled_from(
    [
        Address(TargetKind.RUN, "run-b"),
        Address(TargetKind.AGENT, "x"),
        Address(TargetKind.TOPIC, "t"),
        Address(TargetKind.POOL, POOL),
    ]
)


class PoolMachine(RuleBasedStateMachine):
    """Runs join, write, answer, read, wait and time passes."""

    messages = Bundle("messages")
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.desk = PoolDesk()
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

    @initialize()
    def opened(self) -> None:
        self.do(self.desk.open())

    @rule(run=st.sampled_from(RUNS), topics=st.sampled_from([(), ("t",)]))
    def join(self, run: str, topics: tuple[str, ...]) -> None:
        self.do(self.desk.join(run, "x" if run != "run-c" else "y", *topics))

    @rule(
        target=messages,
        sender=st.sampled_from(RUNS),
        to=ADDRESSES,
        expected=st.sampled_from([0, 1, 2]),
        timeout_s=st.sampled_from([None, 0, 5]),
        expires_s=st.sampled_from([None, 0, 7]),
    )
    def send(
        self,
        sender: str,
        to: Address,
        expected: int,
        timeout_s: int | None,
        expires_s: int | None,
    ) -> str:
        key = self.key()
        timeout = None if timeout_s is None else seconds(timeout_s)
        contract = ResponseContract(expected, timeout) if expected else None
        expires = None if expires_s is None else self.desk.clock.now() + seconds(expires_s)
        asking = draft(to, key, sender, contract=contract, expire_time=expires)
        first, again = self.do(self.desk.send(asking)), self.do(self.desk.send(asking))
        if first is not None:
            assert again.deduplicated
            assert again.record == first.record
        return f"m-{key}"

    @rule(message=messages, run=st.sampled_from(RUNS))
    def respond(self, message: str, run: str) -> None:
        self.do(self.desk.respond(run, message, self.key()))

    @rule(target=tokens, run=st.sampled_from(RUNS), limit=st.sampled_from([1, 3]))
    def fetch(self, run: str, limit: int) -> list[Delivery]:
        fetched = self.do(self.desk.fetch(run, limit=limit, lease_s=3))
        taken = [parcel.delivery for parcel in fetched.parcels] if fetched else []
        assert [d.sequence for d in taken] == sorted(d.sequence for d in taken)
        assert not {(d.run_id, d.message_id) for d in taken} & self.acked
        return taken

    @rule(taken=tokens)
    def ack(self, taken: list[Delivery]) -> None:
        for delivery in taken:
            token = delivery.lease_token
            if self.do(self.desk.ack(delivery.run_id, delivery.message_id, token)):
                self.acked.add((delivery.run_id, delivery.message_id))

    @rule(
        run=st.sampled_from(RUNS),
        wanted=FILTERS,
        after_matches=st.sampled_from([1, 3]),
        timeout_s=st.sampled_from([None, 0, 4]),
        start=st.sampled_from(list(Start)),
    )
    def suspend(
        self,
        run: str,
        wanted: EventFilter,
        after_matches: int,
        timeout_s: int | None,
        start: Start,
    ) -> None:
        timeout = None if timeout_s is None else seconds(timeout_s)
        waited = condition(
            run, self.key(), wanted, after_matches=after_matches, timeout=timeout, match_from=start
        )
        self.do(self.desk.suspend(waited))

    @precondition(lambda self: self.desk.memory.wakes)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(key[1] for key in self.desk.memory.wakes)))
        self.do(self.desk.wakes.cancel(self.desk.caller, POOL, chosen))

    @rule(delta_s=st.sampled_from([1, 3, 8]), fire=st.booleans())
    def pass_time(self, delta_s: int, fire: bool) -> None:
        self.desk.clock.advance(delta_s)
        if fire:
            self.do(self.desk.fire_due())

    @invariant()
    def log_has_no_gap(self) -> None:
        sequences = [event.sequence for _, event, _, _ in self.desk.memory.log]
        assert sequences == list(range(1, len(sequences) + 1))
        for pool in self.desk.memory.pools.values():
            assert pool.head_sequence == len(sequences)

    @invariant()
    def wakes_end_once_and_are_told_once(self) -> None:
        wakes = {key[1]: wake for key, wake in self.desk.memory.wakes.items()}
        over = {k: wake for k, wake in wakes.items() if wake.state is not WakeState.REGISTERED}
        for condition_id, before in self.ended.items():
            assert over[condition_id] == before
        self.ended = over
        told = [wake.condition.condition_id for _, wake, _ in self.desk.memory.outbox]
        assert sorted(told) == sorted(over)
        for pool in self.desk.memory.pools.values():
            assert pool.open_wakes == len(wakes) - len(over)

    @invariant()
    def receipts_agree_with_the_log_and_the_inboxes(self) -> None:
        tables = self.desk.memory
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

    @invariant()
    def no_contract_is_met_and_open(self) -> None:
        tables = self.desk.memory
        for (_, message_id), record in tables.messages.items():
            contract = record.message.contract
            if contract and record.receipt.state is MessageState.DELIVERED:
                answers = sum(key[1] == message_id for key in tables.replies)
                assert answers < contract.expected_responses


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase
