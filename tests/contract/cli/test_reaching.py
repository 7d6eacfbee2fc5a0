"""Addresses at which there is no server, another one, or one that wants to see a certificate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import pytest

from services.cli.base.exits import EXIT_UNAVAILABLE, CliError
from services.cli.registry.reading import listing
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from services.pool.main import SERVICE as POOL
from services.pool.settings import PoolSettings
from tests.support.certificates import Authority
from tests.support.serving import serving

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def refusal(target: str) -> CliError:
    """What a command says that looks for the registry there."""
    async with connected({**DEFAULTS, "registry": target}) as found:
        with pytest.raises(CliError) as refused:
            async for _ in listing(found, None):
                pass
    assert refused.value.exit_code == EXIT_UNAVAILABLE
    return refused.value


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A server that is none of ours."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def foreign(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[str]:
    """A gRPC server that is none of ours."""
    server, at = grpc.aio.server(), "127.0.0.1:0"
    add = server.add_secure_port if credentials else server.add_insecure_port
    port = add(at, *([credentials] if credentials else []))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that drops every attempt to connect: its queue of connections is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield f"127.0.0.1:{full.getsockname()[1]}"
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    ("target", "cause", "words"),
    [
        ("127.0.0.1:1", "refused", "nothing listens there"),
        ("no-such-host.invalid:7401", "name", "its name cannot be resolved"),
    ],
)
async def test_an_address_without_a_server_says_what_is_missing(
    target: str, cause: str, words: str
) -> None:
    error = await refusal(target)
    assert error.message == f"cannot reach registry at {target}: {words}"
    assert (error.reason, error.facts["cause"]) == ("UNREACHABLE", cause)
    assert "RUNYARD_ENDPOINTS or --endpoint" in error.hint


@pytest.mark.parametrize(
    ("talk", "cause", "words"),
    [
        (http, "protocol", "an HTTP server answers, not a gRPC server"),
        (hang_up, "closed", "it closed the connection"),
    ],
)
async def test_a_server_that_speaks_something_else_is_told(
    talk: Talk, cause: str, words: str
) -> None:
    async with talking(talk) as target:
        error = await refusal(target)
    assert error.message == f"cannot reach registry at {target}: {words}"
    assert error.facts["cause"] == cause


@pytest.mark.slow
async def test_who_never_answers_is_given_up_long_before_the_call_would_be() -> None:
    """The limit on connecting is 5 s; a call has 30 s, gRPC on its own would try for 20 s."""
    # when an address takes the connection and says nothing, and one drops it
    async with talking(say_nothing) as target:
        with black_hole() as hole:
            silent, dropped = await asyncio.gather(refusal(target), refusal(hole))

    # then the attempts ended by themselves, and not with the time of the call
    assert (silent.reason, silent.facts["cause"]) == ("UNREACHABLE", "protocol")
    assert "does not answer as a gRPC server" in silent.message
    assert (dropped.reason, dropped.facts["cause"]) == ("UNREACHABLE", "timeout")
    assert "no answer to the attempt to connect" in dropped.message


async def test_the_server_of_another_service_is_named(tmp_path: Path) -> None:
    # given the pool where the registry is looked for, and a gRPC server that is none of ours
    settings = PoolSettings(listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'pool.db'}")

    # when
    async with serving(POOL.build, settings) as served, foreign() as target:
        ours, theirs = await refusal(served.target), await refusal(target)

    # then
    assert ours.message == f"pool answers at {served.target}, not registry"
    assert theirs.message == f"another server answers at {target}, not registry"
    assert {ours.reason, theirs.reason} == {"WRONG_SERVER"}
    assert ours.facts == {"answers": "pool"}


def asking_for_certificates(ours: Authority) -> grpc.ServerCredentials:
    """TLS of a server whose callers show a certificate of its own authority."""
    cert, key = (Path(file).read_bytes() for file in ours.issue("server"))
    ca = Path(ours.ca_file).read_bytes()
    return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)


async def test_a_certificate_that_is_missing_or_not_accepted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that asks for certificates, and credentials of it and of somebody else
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    cert, key = theirs.issue("client")
    without = {"RUNYARD_CA_FILE": "", "RUNYARD_CERT_FILE": "", "RUNYARD_KEY_FILE": ""}
    environments = {
        "plain": without,
        "other authority": {**without, "RUNYARD_CA_FILE": theirs.ca_file},
        "no certificate": {**without, "RUNYARD_CA_FILE": ours.ca_file},
        "other certificate": {
            "RUNYARD_CA_FILE": ours.ca_file,
            "RUNYARD_CERT_FILE": cert,
            "RUNYARD_KEY_FILE": key,
        },
    }

    # when each is tried
    hints = {}
    async with foreign(asking_for_certificates(ours)) as target:
        for name, environment in environments.items():
            for variable, value in environment.items():
                monkeypatch.setenv(variable, value)
            hints[name] = (await refusal(target)).hint

    # then each hint names what is to be set
    assert "if the server asks for TLS, set RUNYARD_CA_FILE" in hints["plain"]
    assert "RUNYARD_CA_FILE has to name the authority" in hints["other authority"]
    assert hints["no certificate"] == (
        "if the server asks callers for a certificate, set RUNYARD_CERT_FILE and RUNYARD_KEY_FILE"
    )
    assert "RUNYARD_CERT_FILE has to be signed by the authority" in hints["other certificate"]


async def test_a_server_without_tls_is_told_to_a_command_that_expects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNYARD_CA_FILE", Authority(tmp_path).ca_file)
    async with foreign() as target:
        error = await refusal(target)
    assert error.message.endswith("it does not speak TLS")
    assert error.hint == "unset RUNYARD_CA_FILE"
