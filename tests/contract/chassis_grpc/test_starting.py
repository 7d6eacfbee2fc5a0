"""What refuses to start, and in which words."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.server.service import Chassis, Service, Servicer
from tests.contract.chassis_grpc.probe import NAME, UNARY, UNLIMITED, Probe, probing, refusal


async def test_a_second_server_on_the_port_is_refused() -> None:
    """By default gRPC shares the port in silence, and each server gets half of the calls."""
    async with probing() as probe:
        refused = await refusal(listen=f"127.0.0.1:{probe.port}")
    assert refused == (
        f"port {probe.port} is in use by another process: stop it, or set "
        "RUNYARD_PROBE_LISTEN to a free port"
    )


async def test_a_port_that_another_process_shares_is_refused_too() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = await refusal(listen=f"127.0.0.1:{port}")
    assert f"port {port} is in use" in refused


async def test_a_second_server_cannot_share_the_port() -> None:
    async with probing() as probe:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", probe.port))


async def test_a_port_is_free_again_at_once_after_a_stop() -> None:
    async with probing() as probe:
        port = probe.port
        await probe.channel.channel_ready()
    async with probing(listen=f"127.0.0.1:{port}") as again:
        assert again.port == port
        await again.channel.channel_ready()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_an_address_that_other_machines_reach_is_refused(listen: str) -> None:
    refused = await refusal(listen=listen)
    assert refused == (
        f"other machines can reach {listen}, and this server has neither TLS nor authentication: "
        "set RUNYARD_PROBE_TLS_CERT_FILE and RUNYARD_PROBE_TLS_KEY_FILE and "
        "RUNYARD_PROBE_TOKEN_FILE, or set RUNYARD_PROBE_LISTEN to a loopback address such as "
        "127.0.0.1:0, or accept the risk with RUNYARD_PROBE_INSECURE=true"
    )


async def test_insecure_allows_to_listen_on_every_address() -> None:
    async with probing(listen="0.0.0.0:0", insecure=True) as probe:
        assert probe.target == f"127.0.0.1:{probe.port}"
        await probe.channel.channel_ready()


async def test_an_address_of_another_machine_is_refused() -> None:
    refused = await refusal(listen="192.0.2.1:7999", insecure=True)
    assert refused.startswith("cannot listen on 192.0.2.1:7999 (")
    assert refused.endswith("set RUNYARD_PROBE_LISTEN to another address")


async def test_a_method_without_a_policy_row_is_refused() -> None:
    async def build(settings: Any, chassis: Chassis) -> Service:
        service = await Probe().build(settings, chassis)
        return replace(service, policy={k: v for k, v in service.policy.items() if k != UNARY})

    assert await refusal(build) == f"no policy row for {UNARY}: add one to POLICY"


async def test_a_policy_row_without_a_method_is_refused() -> None:
    refused = await refusal(Probe(policy={f"/{NAME}/Unari": UNLIMITED}).build)
    assert refused.startswith(f"policy row for /{NAME}/Unari, which is not")


async def test_a_servicer_under_a_wrong_name_is_refused() -> None:
    """Health and reflection would speak of a service that is not there."""

    async def build(settings: Any, chassis: Chassis) -> Service:
        service = await Probe().build(settings, chassis)
        return replace(service, servicers=[Servicer("test.v1.Typo", Probe().add)])

    refused = await refusal(build)
    assert refused == "the servicer named test.v1.Typo registered no method under that name"
    assert NAME not in refused
