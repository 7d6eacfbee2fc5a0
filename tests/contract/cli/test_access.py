"""The command against a server that asks for TLS and a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.chassis.access.tokens import parse_tokens
from services.chassis.caller import Principal, Role
from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings
from tests.contract.cli.process import Answer, runyard
from tests.contract.cli.test_commands import QUICKSTART
from tests.support.certificates import Authority
from tests.support.serving import serving

pytestmark = pytest.mark.slow


@asynccontextmanager
async def registry(folder: Path, authority: Authority) -> AsyncIterator[dict[str, str]]:
    """Gives the environment of a command that trusts the server."""
    cert, key = authority.issue("server")
    settings = RegistrySettings(
        listen="127.0.0.1:0",
        database_url=f"sqlite:///{folder / 'registry.db'}",
        tls_cert_file=cert,
        tls_key_file=key,
        token_file=str(folder / "tokens"),
    )
    async with serving(SERVICE.build, settings) as served:
        yield {
            "RUNYARD_ENDPOINTS": f"registry={served.target}",
            "RUNYARD_CA_FILE": authority.ca_file,
        }


async def made(folder: Path, name: str, role: str) -> Path:
    """A file with a new token, whose line the server's file has."""
    answer = await runyard("token", "new", "--name", name, "--role", role, "-o", "json")
    facts = json.loads(answer.out)
    with (folder / "tokens").open("a") as known:
        known.write(facts["line"] + "\n")
    path = folder / f"{name}.token"
    path.write_text(facts["token"])
    return path


def refusal(answer: Answer) -> tuple[int, str, str]:
    said = json.loads(answer.err)["error"]
    return answer.code, said["reason"], said["hint"]


async def test_a_token_is_made_with_the_line_of_its_hash() -> None:
    answer = await runyard(
        *("token", "new", "--name", "alice", "--role", "operator", "--role", "viewer"),
        *("--tenant", "acme", "--expires", "2027-01-01T00:00:00Z"),
    )
    first, second = answer.out.splitlines()
    token, line = first.removeprefix("token  "), second.removeprefix("line   ")
    found = parse_tokens(line).find(token)
    assert found is not None
    assert found.principal == Principal("acme", frozenset({Role.OPERATOR, Role.VIEWER}), "alice")
    assert str(found.expires_at) == "2027-01-01 00:00:00+00:00"
    assert token not in line


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--name", "two words"], "white space"),
        (["--name", ""], "name: must not be empty"),
        (["--name", "a", "--expires", "tomorrow"], "expires: is an instant with its zone"),
    ],
)
async def test_facts_that_make_no_token_are_refused(options: list[str], complaint: str) -> None:
    answer = await runyard("token", "new", "--role", "viewer", *options)
    assert answer.code == 2
    assert complaint in answer.err


async def test_a_command_goes_with_the_token_and_the_authority_of_its_environment(
    tmp_path: Path,
) -> None:
    # given a server with TLS that knows an operator and a viewer
    authority = Authority(tmp_path / "ours")
    otto, vera = await made(tmp_path, "otto", "operator"), await made(tmp_path, "vera", "viewer")
    async with registry(tmp_path, authority) as known:
        # when both look, the viewer applies, and others look: one without a token, one that
        # trusts another authority, one without TLS
        look, apply = ("get", "-o", "json"), ("apply", "-f", str(QUICKSTART), "-o", "json")
        by_file = await runyard(*look, **known, RUNYARD_TOKEN_FILE=str(otto))
        by_value = await runyard(*look, **known, RUNYARD_TOKEN=vera.read_text())
        viewers = await runyard(*apply, **known, RUNYARD_TOKEN_FILE=str(vera))
        nobody = await runyard(*look, **known)
        other_ca = Authority(tmp_path / "theirs").ca_file
        distrusting = await runyard(*look, **{**known, "RUNYARD_CA_FILE": other_ca})
        plain = await runyard(*look, **{**known, "RUNYARD_CA_FILE": ""})

    # then
    assert (by_file.code, by_value.code) == (0, 0), by_file.err + by_value.err
    assert refusal(viewers)[:2] == (1, "PERMISSION_DENIED")
    assert refusal(nobody)[:2] == (1, "UNAUTHENTICATED")
    assert "RUNYARD_TOKEN_FILE" in refusal(nobody)[2]
    assert refusal(distrusting)[:2] == refusal(plain)[:2] == (3, "UNREACHABLE")
    assert "has to name the authority that signed the server's" in refusal(distrusting)[2]
    assert "if the server asks for TLS, set RUNYARD_CA_FILE" in refusal(plain)[2]


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"RUNYARD_TOKEN": "x", "RUNYARD_TOKEN_FILE": "y"}, "are both set"),
        ({"RUNYARD_TOKEN_FILE": "/no/such"}, "RUNYARD_TOKEN_FILE: cannot read /no/such"),
        ({"RUNYARD_CA_FILE": "/no/such"}, "RUNYARD_CA_FILE: cannot read /no/such"),
        ({"RUNYARD_TOKEN": "two words"}, "RUNYARD_TOKEN: a token is one word"),
        (
            {"RUNYARD_TOKEN": "x", "RUNYARD_ENDPOINTS": "registry=registry.example:7401"},
            "set RUNYARD_CA_FILE, or accept the risk with RUNYARD_INSECURE=true",
        ),
    ],
)
async def test_credentials_that_cannot_be_used_are_wrong_use(
    environment: dict[str, str], complaint: str
) -> None:
    answer = await runyard("get", **environment)
    assert answer.code == 2
    assert "[CREDENTIALS]" in answer.err
    assert complaint in answer.err


async def test_check_config_refuses_what_a_start_would_refuse(tmp_path: Path) -> None:
    """Settings that load are not yet settings that a server starts with."""
    variable = "RUNYARD_ROUTER_"
    cert, _ = Authority(tmp_path).issue("router")

    # when the settings of a server are examined that would be refused for its way in
    half = await runyard("check-config", "router", **{f"{variable}TLS_CERT_FILE": cert})
    exposed = await runyard("check-config", "router", **{f"{variable}LISTEN": "0.0.0.0:7402"})
    without = await runyard("check-config", **{f"{variable}PEER_TOKEN_FILE": "/no/such"})

    # then each says why
    assert [answer.code for answer in (half, exposed, without)] == [2, 2, 2]
    assert f"{variable}TLS_CERT_FILE is set and {variable}TLS_KEY_FILE is not" in half.err
    assert "other machines can reach 0.0.0.0:7402" in exposed.err
    assert f"{variable}PEER_TOKEN_FILE: cannot read /no/such" in without.err
