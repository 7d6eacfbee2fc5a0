from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.router.clients import credentials
from services.router.clients.credentials import digest_of, look, read_secret
from services.router.core.failures import FailureClass, UpstreamError
from services.router.core.model import Anthropic, Builtin, Credential, Header, OpenAi, Provider
from services.router.core.script import Script
from tests.support.stack import exported


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk-one\r\n")
    return file


def written(file: Path, secret: str) -> Path:
    file.write_text(f"{secret}\n")
    return file


def keyed(file: Path) -> Provider:
    return Provider("p", OpenAi("http://x"), Credential(file=str(file)))


async def test_a_file_that_changes_is_read_again(key: Path) -> None:
    # given
    reference, provider = Credential(file=str(key)), keyed(key)
    first = read_secret("p", reference)

    # when it is written anew, and when another file takes its place
    written(key, "sk-other")
    await look([provider])
    second = read_secret("p", reference)
    written(key.parent / "new", "sk-three").replace(key)
    await look([provider])

    # then
    assert (first, second) == ("sk-one", "sk-other")
    assert read_secret("p", reference) == "sk-three"


async def test_a_file_is_looked_at_off_the_event_loop(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what threads look at files
    threads: list[int] = []
    stat, opened = os.stat, open

    def noted(path: Any, *rest: Any, by: Callable[..., Any], **named: Any) -> Any:
        if str(path) == str(key):
            threads.append(threading.get_ident())
        return by(path, *rest, **named)

    monkeypatch.setattr(credentials.os, "stat", partial(noted, by=stat))
    monkeypatch.setattr(credentials, "open", partial(noted, by=opened), raising=False)

    # when a call looks, and uses what was found
    await look([keyed(key)])
    seen = len(threads)
    read_secret("p", Credential(file=str(key)))
    digest_of(keyed(key))

    # then
    assert seen == len(threads) == 2
    assert threading.get_ident() not in threads


async def test_without_files_there_is_nothing_to_look_at() -> None:
    # given a provider with a variable, and one without a secret
    provider = Provider("p", OpenAi("http://x"), Credential(env="TEST_ROUTER_KEY"))

    # when, then no thread is asked
    looking = look([provider, Provider("q", Builtin(Script()))])
    with pytest.raises(StopIteration):
        looking.send(None)


async def test_a_file_that_stays_is_not_read_again(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a file that was read
    read_secret("p", Credential(file=str(key)))
    reads: list[object] = []
    monkeypatch.setattr(credentials, "open", lambda *_: reads.append(_), raising=False)

    # when
    await look([keyed(key)])
    again = read_secret("p", Credential(file=str(key)))

    # then
    assert (again, reads) == ("sk-one", [])


def empty(file: Path) -> None:
    file.write_text(" \n")


def endless(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def huge(file: Path) -> None:
    file.write_text("x" * 65_537)


def binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (Path.unlink, "cannot be read (no such file or directory)"),
        (empty, "is empty"),
        (endless, "is no regular file"),
        (huge, "is larger than 65,536 bytes"),
        (binary, "is not text in UTF-8"),
    ],
)
async def test_a_file_without_a_credential_is_named(
    key: Path, make: Callable[[Path], None], state: str
) -> None:
    # given one that held a credential before
    read_secret("p", Credential(file=str(key)))
    make(key)
    await look([keyed(key)])

    # when
    with pytest.raises(UpstreamError) as raised:
        read_secret("p", Credential(file=str(key)))

    # then
    failure = raised.value.failure
    assert failure.kind is FailureClass.CREDENTIAL_MISSING
    assert failure.detail == (
        f"provider 'p' has no credential: file {key} {state}; "
        "put the credential there, readable for the router"
    )


@pytest.mark.parametrize(("value", "state"), [(None, "is not set"), ("  ", "is empty")])
def test_a_variable_without_a_credential_is_named(value: str | None, state: str) -> None:
    # given
    variables = {} if value is None else {"TEST_ROUTER_KEY": value}

    # when
    with exported(variables), pytest.raises(UpstreamError) as raised:
        read_secret("p", Credential(env="TEST_ROUTER_KEY"))

    # then
    assert raised.value.failure.detail == (
        f"provider 'p' has no credential: environment variable TEST_ROUTER_KEY {state}; "
        "set it where the router runs, and restart the router"
    )


async def test_the_digest_changes_with_every_secret_of_the_provider(key: Path) -> None:
    # given a credential in a variable, and a header from a file
    extra = (Header("X-Team", "blue"), Header("X-Key", secret=Credential(file=str(key))))
    provider = Provider("p", OpenAi("http://x", headers=extra), Credential(env="TEST_ROUTER_KEY"))

    # when
    seen = [digest_of(provider)]
    for secret in ("sk-a", "sk-b"):
        with exported({"TEST_ROUTER_KEY": secret}):
            seen.append(digest_of(provider))
    written(key, "sk-two")
    await look([provider])
    seen.append(digest_of(provider))
    written(key, "sk-three")
    await look([provider])
    seen.append(digest_of(provider))
    written(key, "sk-two")
    await look([provider])

    # then it is the same for the same secrets
    assert len(set(seen)) == 5
    assert digest_of(provider) == seen[3]
    assert all(len(each) == 16 for each in seen)


def test_a_variable_that_is_no_text_has_a_digest_too() -> None:
    provider = Provider("p", OpenAi("http://x"), Credential(env="TEST_ROUTER_KEY"))
    with exported({"TEST_ROUTER_KEY": "sk-\udcff"}):
        assert len(digest_of(provider)) == 16


def test_the_secrets_of_a_provider_are_those_of_its_headers_and_its_own() -> None:
    # given
    own, of_header = Credential(env="A"), Credential(file="/b")
    headers = (Header("X-Team", "blue"), Header("X-Key", secret=of_header))

    # when, then
    assert Provider("p", Anthropic("http://x", "1", headers=headers), own).secrets == (
        of_header,
        own,
    )
    assert Provider("p", OpenAi("http://x")).secrets == ()
    assert Provider("p", Builtin(Script()), own).secrets == (own,)
