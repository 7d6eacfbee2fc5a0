"""Quarantine over gRPC, before a provider that speaks HTTP, and its state as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.contract.router.router_under_test import (
    Received,
    RouterUnderTest,
    StillCalendar,
    builtin,
    model,
    pool,
    served_by,
)
from tests.support.fake_provider import FakeProvider, Pause, finish, refusal, stream, text

DENIED = refusal(401, {"error": {"message": "no"}})
ANSWER = stream(*text("hi"), *finish())


@dataclass
class Keyed:
    """Pool ``p``: its home ``m`` has its key in a file, its other member answers."""

    servers: RouterUnderTest
    provider: FakeProvider
    clock: StillCalendar
    key: Path
    sessions: int = 0

    async def ask(self) -> Received:
        """A call of a new session."""
        self.sessions += 1
        return await self.servers.infer("p", thread_id=f"t{self.sessions}")

    async def state(self) -> tuple[int, int, float]:
        """Failure, round, and seconds until the probe."""
        found = await self.servers.member("p")
        ends = found.quarantine_end_time.ToDatetime(UTC) - self.clock.now()
        return found.quarantine, found.quarantine_round, ends.total_seconds()


@pytest.fixture
async def keyed(tmp_path: Path, provider: FakeProvider) -> AsyncIterator[Keyed]:
    key, clock = tmp_path / "key", StillCalendar()
    key.write_text("sk-old\n")
    servers = RouterUnderTest(tmp_path, clock=clock)
    vllm, served = served_by(provider)
    vllm.provider.credential_ref.file = str(key)
    try:
        await servers.start_registry()
        await servers.start_router()
        spare = [builtin("script"), model("spare", "script")]
        await servers.apply(vllm, served, *spare, pool("p", "m", failover_only=["spare"]))
        yield Keyed(servers, provider, clock, key)
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_a_member_that_denies_its_key_is_asked_once(keyed: Keyed) -> None:
    # given
    keyed.provider.always(DENIED)

    # when two sessions call
    first, second = await keyed.ask(), await keyed.ask()

    # then
    assert (first.members, second.members) == (["m", "spare"], ["spare"])
    assert len(keyed.provider.requests) == 1
    (skipped,) = second.decision.skipped
    assert (skipped.reason, skipped.detail) == (pb.SKIP_REASON_QUARANTINED, "auth")
    assert skipped.until.ToDatetime(UTC) == keyed.clock.now() + timedelta(minutes=15)
    assert await keyed.state() == (prov.FAILURE_CLASS_AUTH, 1, 900.0)


async def test_the_next_call_after_a_change_of_the_key_goes_to_the_member(keyed: Keyed) -> None:
    # given
    keyed.provider.answers(DENIED)
    keyed.provider.always(ANSWER)
    await keyed.ask()

    # when
    keyed.key.write_text("sk-new\n")
    received = await keyed.ask()

    # then
    assert received.members == ["m"]
    assert keyed.provider.requests[-1].headers["authorization"] == "Bearer sk-new"
    assert not received.decision.attempts[0].probe


async def test_a_key_that_is_put_in_its_place_is_used_by_the_next_call(keyed: Keyed) -> None:
    # given a key that is not there
    keyed.provider.always(ANSWER)
    keyed.key.unlink()
    missing, passed_by = await keyed.ask(), await keyed.ask()
    state = await keyed.state()

    # when
    keyed.key.write_text("sk-new\n")
    received = await keyed.ask()

    # then
    assert missing.decision.attempts[0].failure == prov.FAILURE_CLASS_CREDENTIAL_MISSING
    assert (passed_by.members, received.members) == (["spare"], ["m"])
    assert state == (prov.FAILURE_CLASS_CREDENTIAL_MISSING, 1, 900.0)


async def test_with_the_same_key_it_is_probed_after_15_and_again_after_30_minutes(
    keyed: Keyed,
) -> None:
    # given
    keyed.provider.always(DENIED)
    await keyed.ask()

    # when
    keyed.clock.advance(899.999999)
    before = await keyed.ask()
    keyed.clock.advance(0.000001)
    probe, after_it = await keyed.ask(), await keyed.ask()
    failed = await keyed.state()
    keyed.clock.advance(1800)
    keyed.provider.always(ANSWER)
    answered, healed = await keyed.ask(), await keyed.ask()

    # then
    assert (before.members, after_it.members) == (["spare"], ["spare"])
    assert [(a.member_id, a.probe) for a in probe.decision.attempts] == [
        ("m", True),
        ("spare", False),
    ]
    assert failed == (prov.FAILURE_CLASS_AUTH, 2, 1800.0)
    assert [(a.member_id, a.probe) for a in answered.decision.attempts] == [("m", True)]
    assert [(a.member_id, a.probe) for a in healed.decision.attempts] == [("m", False)]


async def test_beside_a_probe_no_other_call_goes_to_the_member(keyed: Keyed) -> None:
    # given a probe that its provider keeps waiting
    keyed.provider.answers(DENIED, stream(Pause(), *text("hi"), *finish()))
    await keyed.ask()
    keyed.clock.advance(900)
    probe = asyncio.create_task(keyed.ask())
    await keyed.provider.until(pauses=1)

    # when
    beside = await keyed.ask()
    meanwhile = await keyed.servers.member("p")
    keyed.provider.go_on()
    answered = await probe

    # then
    assert beside.members == ["spare"]
    assert not beside.decision.skipped[0].HasField("until")
    assert not meanwhile.HasField("quarantine_end_time")
    assert answered.text == "hi"


async def test_a_reset_lets_the_next_call_through(keyed: Keyed) -> None:
    # given
    keyed.provider.answers(DENIED)
    keyed.provider.always(ANSWER)
    await keyed.ask()

    # when
    router = RouterServiceStub(keyed.servers.channel)
    answer = await router.ResetMember(rpc.ResetMemberRequest(target_id="p", member_id="m"))
    received = await keyed.ask()

    # then
    assert answer.members[0].quarantine == prov.FAILURE_CLASS_UNSPECIFIED
    assert answer.members[0].quarantine_round == 0
    assert received.members == ["m"]


async def test_a_model_called_directly_is_always_called(keyed: Keyed) -> None:
    # given
    keyed.provider.always(DENIED)
    await keyed.ask()

    # when
    received = [await keyed.servers.infer("m") for _ in range(2)]

    # then
    assert {each.failure.reason for each in received} == {"UPSTREAM_REJECTED"}
    assert len(keyed.provider.requests) == 3


async def test_a_corrected_provider_is_called(keyed: Keyed) -> None:
    # given
    keyed.provider.answers(DENIED)
    keyed.provider.always(ANSWER)
    await keyed.ask()

    # when
    vllm = reg.Provider(id="vllm", openai=reg.OpenAiAdapter(), base_url=keyed.provider.base_url)
    vllm.openai.organization = "other"
    vllm.credential_ref.file = str(keyed.key)
    await keyed.servers.apply(reg.Resource(provider=vllm))
    received = await keyed.ask()

    # then
    assert received.members == ["m"]
