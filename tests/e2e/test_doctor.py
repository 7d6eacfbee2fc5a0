"""``runyard doctor`` on a healthy stack, and on one that lacks a server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest

from tests.e2e.conftest import apply
from tests.support import clients
from tests.support.stack import SERVICES, Stack, service_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def doctor(stack: Stack) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit code, and its findings by check, with the environment of every server."""
    environment = dict(os.environ)
    for service in SERVICES:
        environment.update(service_environment(service, stack.ports, stack.data))
    places = ",".join(f"{service}={stack.target(service)}" for service in SERVICES)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.cli.main", "doctor", "--output", "json"),
        env={**environment, "RUNYARD_ENDPOINTS": places},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    findings = json.loads(out)["findings"]
    return process.returncode or 0, {finding["check"]: finding for finding in findings}


async def test_a_healthy_stack_has_nothing_that_fails(stack: Stack) -> None:
    # given
    version = await apply(stack, clients.builtin_provider("examined", clients.replying("fine")))

    # when both consumers, who may have lost the registry in the test before, are back at it
    code, findings = await doctor(stack)
    while {findings[f"snapshot {name}"]["level"] for name in ("router", "runcontrol")} != {"ok"}:
        code, findings = await doctor(stack)

    # then every check is well, and both consumers have what was applied
    assert {name: f for name, f in findings.items() if f["level"] == "fail"} == {}
    assert code == 0
    for service in SERVICES:
        assert "serves" in findings[f"server {service}"]["text"]
        assert "is used by this service" in findings[f"port {service}"]["text"]
        assert "the newest" in findings[f"database {service}"]["text"]
    for service in ("registry", "router", "runcontrol"):
        assert findings[f"snapshot {service}"]["text"].endswith(f"version {version}")


async def test_a_server_that_is_away_is_named_with_what_to_do(stack: Stack) -> None:
    # given
    await stack.terminate("pool")

    # when
    code, findings = await doctor(stack)

    # then
    assert code == 1
    assert [name for name, f in findings.items() if f["level"] == "fail"] == ["server pool"]
    assert "runyard up" in findings["server pool"]["hint"]
    assert findings["port pool"]["text"].endswith("is free")
