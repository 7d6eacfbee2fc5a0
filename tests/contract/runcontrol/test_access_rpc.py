"""The four servers with TLS and tokens: who is asked for stays known from end to end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.access.entry import peers_of
from services.chassis.access.tokens import new_token
from services.chassis.caller import Role
from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.rpc_status import reason_of
from services.registry.settings import RegistrySettings
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_pool_rpc import parked_analyst, two_agents
from tests.support import scenario as s
from tests.support.certificates import Authority


class Town(Suite):
    """A suite whose servers ask for credentials; channels are those of one caller."""

    def __init__(self, data: Path) -> None:
        authority = Authority(data / "certificates")
        cert, key = authority.issue("server")
        self._data = data
        self._alice = self._made("alice", Role.OPERATOR, "acme")
        self._bob = self._made("bob", Role.OPERATOR, "globex")
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        super().__init__(
            data,
            tls_cert_file=cert,
            tls_key_file=key,
            tls_client_ca_file=authority.ca_file,
            token_file=str(data / "tokens"),
            peer_ca_file=authority.ca_file,
            peer_cert_file=cert,
            peer_key_file=key,
            peer_token_file=self._made("runyard", Role.SERVICE, "default"),
        )

    def channel(self, service: str) -> grpc.aio.Channel:
        return self._as(service, self._alice)

    def as_bob(self, service: str) -> grpc.aio.Channel:
        return self._as(service, self._bob)

    def _as(self, service: str, token_file: str) -> grpc.aio.Channel:
        key = service, token_file
        if key not in self._channels:
            settings = RegistrySettings(**{**self.common, "peer_token_file": token_file})
            peers = peers_of(settings, SystemClock())
            self._channels[key] = open_channel(self.served[service].target, peers=peers)
        return self._channels[key]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        await super().close()

    def _made(self, name: str, role: Role, tenant: str) -> str:
        """A file with a new token, whose line the servers' file has."""
        token, line = new_token(name, [role], tenant)
        with (self._data / "tokens").open("a") as known:
            known.write(f"{line}\n")
        path = self._data / f"{name}.token"
        path.write_text(token)
        return str(path)


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    running = Town(tmp_path)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


async def test_a_run_is_its_principals_in_every_service_it_passes(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "services.rpc")
    # given two agents of alice's that talk through a pool: models, messages, a wait and its wake
    version = await two_agents(town)
    analyst = await parked_analyst(town, version)
    channel = town.channel("runcontrol")

    # when the conversation takes its course
    scout = await s.submit(channel, "scout", "go", pool_id="room", min_version=version)
    await s.follow_to_end(channel, scout)
    await s.follow_to_end(channel, analyst)

    # then each server knew for whom it was called, and that it was a service that called
    calls = {
        (
            vars(record)["rpc_method"].rpartition("/")[2],
            vars(record).get("tenant"),
            vars(record).get("principal"),
            vars(record).get("on_behalf_of"),
            vars(record).get("run_id"),
        )
        for record in caplog.records
        if record.getMessage() == "call"
    }
    assert ("Infer", "acme", "runyard", "alice", scout) in calls
    assert ("JoinPool", "acme", "runyard", "alice", analyst) in calls
    assert ("SendMessage", "acme", "runyard", "alice", scout) in calls
    assert ("FetchInbox", "acme", "runyard", "alice", scout) in calls
    assert ("DeliverWake", "acme", "runyard", None, analyst) in calls
    assert ("SubmitRun", "acme", "alice", None, None) in calls


async def test_another_tenant_sees_nothing_of_it(town: Town) -> None:
    # given a run of alice's
    version = await two_agents(town)
    run_id = await parked_analyst(town, version)

    # when bob, of another tenant, asks for it
    runs = RunControlServiceStub(town.as_bob("runcontrol"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runs.GetRun(service.GetRunRequest(run_id=run_id))

    # then there is no such run
    assert reason_of(refused.value).reason == "RUN_NOT_FOUND"


async def test_only_services_may_deliver_wakes(town: Town) -> None:
    runs = RunControlServiceStub(town.channel("runcontrol"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runs.DeliverWake(service.DeliverWakeRequest(run_id="any"))
    assert reason_of(refused.value).reason == "PERMISSION_DENIED"
