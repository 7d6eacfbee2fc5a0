"""Listen addresses."""

from __future__ import annotations

import socket

import pytest

from services.chassis.config.listening import Address, parse_address, refuse_taken
from services.chassis.startup import StartupRefusedError


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:7401", Address("127.0.0.1", 7401)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:7401", Address("::1", 7401)),
        ("db.example:65535", Address("db.example", 65535)),
    ],
)
def test_host_and_port_are_read_and_written_alike(listen: str, expected: Address) -> None:
    assert parse_address(listen) == expected
    assert str(expected) == listen


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "7401",
        ":7401",
        "127.0.0.1",
        "127.0.0.1:",
        "a:b",
        "::1:7401",
        "[::1]",
        "[a]:1",
        "a:65536",
        "a:-1",
        "a:²",
    ],
)
def test_anything_else_is_refused(listen: str) -> None:
    with pytest.raises(StartupRefusedError, match="is not host:port"):
        parse_address(listen)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_only_addresses_of_this_machine_alone_are_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback


@pytest.mark.parametrize(
    ("host", "target"), [("0.0.0.0", "127.0.0.1:9"), ("::", "[::1]:9"), ("10.0.0.1", "10.0.0.1:9")]
)
def test_a_target_is_an_address_that_a_client_can_call(host: str, target: str) -> None:
    assert Address(host, 0).target(9) == target


def test_a_name_that_does_not_resolve_is_refused_with_the_setting() -> None:
    with pytest.raises(StartupRefusedError, match="set RUNYARD_X_LISTEN to an address"):
        refuse_taken(Address("no-such-host.invalid", 7401), "RUNYARD_X_LISTEN")


# Of nobody: it is kept for documentation.
ELSEWHERE, HERE = "192.0.2.1", "127.0.0.1"


@pytest.mark.parametrize("hosts", [(ELSEWHERE, HERE), (HERE, ELSEWHERE)])
def test_a_name_is_good_when_one_of_its_addresses_is_here(
    hosts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As localhost, which often stands for ::1 too where IPv6 is switched off."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    refuse_taken(Address("localhost", 0), "RUNYARD_PROBE_LISTEN")


def test_a_name_is_refused_when_none_of_its_addresses_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ELSEWHERE, 0))] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(StartupRefusedError, match=r"cannot listen on db\.example:0 .*PROBE_LISTEN"):
        refuse_taken(Address("db.example", 0), "RUNYARD_PROBE_LISTEN")
