"""What ``runyard up`` tells when it is ready, and what its servers tell of their settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.base.services import SERVICES
from services.cli.commands.up import tell_traces
from services.cli.local.mains import settings_of
from services.cli.local.plan import Plan
from tests.unit.cli.test_changes import screen

PLAN = Plan(Path("/data"), 7400, {name: 7401 + n for n, name in enumerate(SERVICES)})
OURS = "http://127.0.0.1:7400"


def told(**environment: str) -> list[str]:
    terminal, file = screen()
    tell_traces(PLAN, environment, terminal)
    return [line.strip() for line in file.getvalue().splitlines()]


def test_traces_come_here_if_nobody_says_otherwise() -> None:
    assert told() == [f"traces     to {OURS} (OTLP/HTTP), see: runyard trace ID"]


def test_traces_that_go_elsewhere_are_told_where() -> None:
    shown = told(
        RUNYARD_ROUTER_OTLP_ENDPOINT="http://collector:4318", RUNYARD_POOL_OTLP_ENDPOINT=""
    )
    assert shown == [
        f"traces     of registry, runcontrol to {OURS} (OTLP/HTTP), see: runyard trace ID",
        "traces     of pool are not exported, as RUNYARD_<SERVICE>_OTLP_ENDPOINT is empty",
        "traces     of router to http://collector:4318, as RUNYARD_<SERVICE>_OTLP_ENDPOINT says",
    ]


def test_all_traces_may_go_elsewhere() -> None:
    every = {f"RUNYARD_{name.upper()}_OTLP_ENDPOINT": "http://c:1" for name in SERVICES}
    assert told(**every) == [
        "traces     to http://c:1, as RUNYARD_<SERVICE>_OTLP_ENDPOINT says",
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_tells_only_of_settings_that_somebody_chose(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an environment of which one setting is the default and one is not
    settings = settings_of(service)
    by_default = settings()
    prefix = f"RUNYARD_{service.upper()}_"
    monkeypatch.setenv(f"{prefix}LISTEN", by_default.listen)
    monkeypatch.setenv(f"{prefix}DRAIN_GRACE_S", "3")

    # then
    assert by_default.describe_chosen() == {}
    assert settings().describe_chosen() == {f"{prefix}DRAIN_GRACE_S": "3.0"}
    assert settings().describe().keys() > settings().describe_chosen().keys()
