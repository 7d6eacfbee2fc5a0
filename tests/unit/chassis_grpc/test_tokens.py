"""The file of tokens: read, refused, read again."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.chassis.access.policy import UnauthenticatedError
from services.chassis.access.token_file import TokenFile
from services.chassis.access.tokens import TokenLineError, new_token, parse_line, parse_tokens
from services.chassis.caller import Principal, Role
from services.chassis.startup import StartupRefusedError
from tests.support.clock import ManualClock

SETTING = "RUNYARD_POOL_TOKEN_FILE"
HASH = "sha256:" + "0f" * 32
ALICE = Principal("acme", frozenset({Role.OPERATOR, Role.VIEWER}), "alice")


def token_of(number: int, name: str = "alice") -> tuple[str, str]:
    return new_token(name, [Role.VIEWER], entropy=lambda size: bytes([number]) * size)


def write(path: Path, *lines: str) -> None:
    """As a careful operator does: the new file takes the old one's place at once."""
    scratch = path.with_suffix(".new")
    scratch.write_text("".join(f"{line}\n" for line in lines))
    os.replace(scratch, path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def opened(path: Path, *lines: str, clock: ManualClock | None = None) -> TokenFile:
    if lines:
        write(path, *lines)
    return TokenFile(str(path), SETTING, clock or ManualClock())


def name_of(tokens: TokenFile, token: str) -> str:
    """The caller's name, or why it is refused."""
    try:
        return tokens.authenticate({"authorization": f"Bearer {token}"}).name
    except UnauthenticatedError as error:
        return str(error)


def test_a_new_token_and_its_line_belong_together() -> None:
    # given
    expires_at = datetime(2027, 1, 1, tzinfo=UTC)

    # when
    token, line = new_token(
        "alice", [Role.VIEWER, Role.OPERATOR], "acme", expires_at, entropy=bytes
    )

    # then the line says who it is and nothing of the token
    assert token == "ryd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert line.endswith(
        "name=alice roles=operator,viewer tenant=acme expires=2027-01-01T00:00:00+00:00"
    )
    assert token not in line
    found = parse_tokens(line).find(token)
    assert found is not None
    assert (found.principal, found.expires_at) == (ALICE, expires_at)


def test_two_tokens_are_never_alike() -> None:
    assert new_token("a", [Role.ADMIN])[0] != new_token("a", [Role.ADMIN])[0]


@pytest.mark.parametrize(("name", "tenant"), [("two words", "acme"), ("", "acme"), ("a", "b\nc")])
def test_facts_that_do_not_fit_into_a_line_are_refused(name: str, tenant: str) -> None:
    with pytest.raises(TokenLineError):
        new_token(name, [Role.ADMIN], tenant)


@pytest.mark.parametrize("last", ["alice", "mallory"])
def test_a_token_is_found_among_those_whose_hash_begins_alike_and_no_other_is(last: str) -> None:
    # given
    token, line = token_of(1)
    alike = f"{line[:30]}{'0' * 41} name=mallory roles=admin"
    lines = [alike, f"  {line}"] if last == "alice" else [line, alike]
    tokens = parse_tokens("\n".join(["# team", "", *lines]))

    # then
    found = tokens.find(token)
    assert found is not None
    assert found.principal.name == "alice"
    assert tokens.find(f"{token}x") is None
    assert tokens.find("") is None


def test_a_tenant_that_is_left_out_is_the_default_one() -> None:
    assert parse_line(f"{HASH} name=ci roles=admin").principal.tenant == "default"


def test_a_line_names_the_tools_that_a_worker_may_serve() -> None:
    _, line = new_token("clerk", [Role.WORKER], "acme", tools=["refund", "lookup"], entropy=bytes)
    assert line.endswith("name=clerk roles=worker tenant=acme tools=lookup,refund")
    assert parse_line(line).principal.tools == {"lookup", "refund"}


@pytest.mark.parametrize("tool", ["a,b", "two words", ""])
def test_ids_of_tools_that_do_not_fit_into_a_line_are_refused(tool: str) -> None:
    with pytest.raises(TokenLineError, match="tools= takes ids of tools"):
        new_token("clerk", [Role.WORKER], tools=[tool])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ryd_secret name=a roles=admin", "line 2: a line begins with sha256: and 64 hexadecimal"),
        (f"{HASH[:-1]} name=a roles=admin", "make one with: runyard token new"),
        (f"{HASH.upper()} name=a roles=admin", "a line begins with"),
        (f"{HASH} name=a roles=ryd_secret", "roles= takes some of viewer, agent, worker, approver"),
        (f"{HASH} name=a", "roles= takes some of"),
        (f"{HASH} roles=admin", "name= must not be empty"),
        (f"{HASH} name=a roles=admin tenant=", "tenant= must not be empty"),
        (f"{HASH} name=a roles=admin, viewer", "without spaces in them"),
        (f"{HASH} name=a roles=worker tools=a,,b", "tools= takes ids of tools, joined by commas"),
        (f"{HASH} name=a roles=admin tools=a", "tools= is for the role worker: add it to roles="),
        (f"{HASH} name=a roles=admin ryd_secret", "after the hash come name=, roles=, tenant="),
        (f"{HASH} name=a roles=admin ryd_secret=1", "after the hash come"),
        (f"{HASH} name=a name=b roles=admin", "name= stands there twice"),
        (f"{HASH} name=a roles=admin expires=ryd_secret", "expires= is an instant with its zone"),
        (f"{HASH} name=a roles=admin expires=2027-01-01T00:00:00", "expires= is an instant"),
    ],
)
def test_a_malformed_line_is_named_with_the_fix_and_never_quoted(
    line: str, complaint: str, path: Path
) -> None:
    # given
    path.write_text(f"# ours\n{line}\n")

    # when
    with pytest.raises(StartupRefusedError) as refused:
        opened(path)

    # then
    assert str(refused.value).startswith(f"{SETTING}: {path}, line 2: ")
    assert complaint in str(refused.value)
    assert "secret" not in str(refused.value)


def test_one_token_for_two_callers_is_refused() -> None:
    with pytest.raises(TokenLineError, match="line 2: the same token as above"):
        parse_tokens(f"{HASH} name=a roles=admin\n{HASH} name=b roles=viewer\n")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, path: Path) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupRefusedError, match=f"{SETTING}: cannot read {path}: "):
        opened(path)


def test_a_token_counts_until_the_instant_it_expires(path: Path) -> None:
    # given a clock at 2026-01-01, and a token for one day
    clock = ManualClock()
    token, line = token_of(1)
    tokens = opened(path, f"{line} expires=2026-01-02T00:00:00Z", clock=clock)

    # when
    clock.advance(86_399)
    before = name_of(tokens, token)
    clock.advance(1)
    after = name_of(tokens, token)

    # then
    assert before == "alice"
    assert after == "the bearer token expired at 2026-01-02T00:00:00+00:00: get a new one"


def test_a_change_of_the_file_counts_within_a_second(path: Path) -> None:
    # given a server that knows alice
    clock = ManualClock()
    (alice, alices), (bob, bobs) = token_of(1), token_of(2, "bob")
    tokens = opened(path, alices, clock=clock)

    # when the file names bob instead
    write(path, bobs)
    at_once = name_of(tokens, alice)
    clock.advance(1.0)

    # then
    assert at_once == "alice"
    assert name_of(tokens, alice) == "the bearer token is not known to this server"
    assert name_of(tokens, bob) == "bob"


@pytest.mark.parametrize("way", ["in place", "with the old time"])
def test_a_change_of_the_same_size_is_seen(way: str, tmp_path: Path) -> None:
    # given
    clock, path = ManualClock(), tmp_path / "tokens"
    (alice, alices), (_, evas) = token_of(1), token_of(2, "elise")
    path.write_text(alices)
    os.utime(path, ns=(0, 1_000))
    tokens = opened(path, clock=clock)

    # when the file is written again, or replaced by one that is as old
    if way == "in place":
        path.write_text(evas)
        os.utime(path, ns=(0, 2_000))
    else:
        path.with_suffix(".new").write_text(evas)
        os.utime(path.with_suffix(".new"), ns=(0, 1_000))
        os.replace(path.with_suffix(".new"), path)
    clock.advance(1.0)

    # then
    assert name_of(tokens, alice) == "the bearer token is not known to this server"


@pytest.mark.parametrize("broken", ["torn", "gone"])
def test_a_broken_change_keeps_the_old_tokens_and_is_logged_once(
    broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock, path = ManualClock(), tmp_path / "tokens"
    token, line = token_of(1)
    tokens = opened(path, line, clock=clock)

    # when the file is broken for a while, and then mended
    if broken == "torn":
        write(path, line, f"{token} in the wrong place")
    else:
        path.unlink()
    meanwhile = []
    for _ in range(3):
        clock.advance(1.0)
        meanwhile.append(name_of(tokens, token))
    write(path, token_of(2, "bob")[1])
    clock.advance(1.0)
    mended = name_of(tokens, token_of(2)[0])

    # then
    assert meanwhile == ["alice"] * 3
    assert mended == "bob"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert SETTING in vars(caplog.records[0])["cause"]
    assert token not in str(vars(caplog.records[0]))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer  ", "Basic YTpi", b"Bearer \xff", "bearer: x"]
)
def test_without_a_bearer_token_the_caller_is_told_to_send_one(
    header: str | bytes, path: Path
) -> None:
    tokens = opened(path, token_of(1)[1])
    with pytest.raises(UnauthenticatedError, match="send a bearer token: metadata authorization"):
        tokens.authenticate({"authorization": header})


def test_the_scheme_may_be_written_as_one_likes(path: Path) -> None:
    token, line = token_of(1)
    tokens = opened(path, line)
    found = tokens.authenticate({"authorization": f"bearer  {token} "})
    assert found.name == "alice"
