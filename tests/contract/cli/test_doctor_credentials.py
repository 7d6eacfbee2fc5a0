"""``runyard doctor``: the credentials that providers refer to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runyard.registry.v1 import registry_pb2 as reg
from services.cli.checks.credentials import finding
from services.cli.checks.findings import Level
from tests.contract.cli.process import runyard
from tests.contract.router.router_under_test import RouterUnderTest, builtin, model, pool


def provider(id_: str, *headers: reg.HttpHeader, **reference: str) -> reg.Resource:
    """A provider that nobody answers for; ``reference`` is ``env`` or ``file``."""
    found = reg.Provider(id=id_, openai=reg.OpenAiAdapter(headers=headers))
    found.base_url = "http://127.0.0.1:1/v1"
    found.credential_ref.CopyFrom(reg.CredentialRef(**reference))
    return reg.Resource(provider=found)


@pytest.mark.slow
async def test_what_is_behind_the_references_is_told(tmp_path: Path) -> None:
    # given references to what is here and what is not, one of which the router has missed
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.write_text("sk-secret")
    header = reg.HttpHeader(name="X-Key", value_ref=reg.CredentialRef(file=str(gone)))
    servers = RouterUnderTest(tmp_path)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(
            provider("by-env", env="TEST_DOCTOR_KEY"),
            provider("by-env-unset", env="TEST_DOCTOR_ABSENT"),
            provider("by-file", header, file=str(here)),
            provider("missed", env="TEST_DOCTOR_HERE_ONLY"),
            builtin("plain"),
            model("m", "missed"),
            model("spare", "plain"),
            pool("p", "m", failover_only=["spare"]),
        )
        await servers.infer("p")
        assert servers.router is not None
        assert servers.registry is not None
        at = f"router={servers.router.target},registry={servers.registry.target}"

        # when
        keys = {"TEST_DOCTOR_KEY": "sk-secret", "TEST_DOCTOR_HERE_ONLY": "sk-secret"}
        told = await runyard("doctor", "-o", "json", RUNYARD_ENDPOINTS=at, **keys)
    finally:
        await servers.stop_router()
        await servers.stop_registry()

    # then
    found = [
        (each["check"].removeprefix("credential "), each["level"], each["text"])
        for each in json.loads(told.out)["findings"]
        if each["check"].startswith("credential ")
    ]
    own = "has a value here; the router uses its own"
    assert found == [
        ("by-env", "ok", f"environment variable TEST_DOCTOR_KEY {own} environment"),
        ("by-env-unset", "warn", "environment variable TEST_DOCTOR_ABSENT is not set here"),
        ("by-file", "ok", f"file {here} {own} view of files"),
        ("by-file", "fail", f"file {gone} cannot be read (no such file or directory)"),
        (
            "missed",
            "fail",
            "environment variable TEST_DOCTOR_HERE_ONLY: the router finds none",
        ),
    ]
    assert "sk-secret" not in told.out + told.err


@pytest.mark.parametrize(
    ("content", "here", "level", "text"),
    [
        (None, True, Level.FAIL, "is no regular file"),
        ("", True, Level.FAIL, "is empty"),
        ("", False, Level.WARN, "is empty here"),
        ("sk", False, Level.OK, "has a value here; the router uses its own view of files"),
    ],
)
def test_a_file_is_judged_by_where_the_router_runs(
    tmp_path: Path, content: str | None, here: bool, level: Level, text: str
) -> None:
    # given
    file = tmp_path / "key"
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)

    # when
    told = finding("p", reg.CredentialRef(file=str(file)), 0, router_is_here=here)

    # then
    assert (told.check, told.level) == ("credential p", level)
    assert told.text == f"file {file} {text}"
