"""The numbers that limit a request beside the sizes of its fields, written down a second time.

A number that is changed fails here as well as where its behaviour is tested; a new one needs a row.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pool_service
from runyard.registry.v1 import registry_pb2 as registry
from runyard.router.v1 import router_service_pb2 as router_service
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1 import runcontrol_service_pb2 as run_service
from services.chassis.errors import InvalidRequestError
from services.pool.api import requests as pool_requests
from services.pool.core.limits import fetch_limit, page_limit
from services.registry.api.resources.codec import submitted_from_pb
from services.registry.core.rules.validating import submitted_violations
from services.router.api.requests import infer_from_pb
from services.runcontrol.api.requests import submit_from_pb
from services.runcontrol.core.limits import page_size
from tests.support.smallest_messages import CONDITION, SAID

NUMBERS: Mapping[str, Mapping[str, object]] = {
    "pool.core.limits": {
        "MAX_AFTER_MATCHES": 64,
        "MAX_CONDITION_BYTES": 1_048_576,
        "MAX_PAGE": 500,
        "DEFAULT_FETCH": 16,
        "DEFAULT_PAGE": 50,
        "DEFAULT_LEASE": timedelta(seconds=30),
        "MIN_LEASE": timedelta(seconds=1),
        "MAX_LEASE": timedelta(hours=12),
        "MAX_TIMEOUT": timedelta(seconds=1_000_000_000),
    },
    "router.core.limits": {
        "MAX_TEMPERATURE": 2,
        "DEFAULT_PAGE": 100,
        "MAX_PAGE": 1_000,
        "MAX_FRAME_ITEMS": 64,
        "MAX_FRAME_BYTES": 65_536,
        "MAX_HELD_ITEMS": 64,
        "MAX_HELD_BYTES": 262_144,
    },
    "runcontrol.core.limits": {
        "MAX_ROUNDS": 1_000,
        "MAX_DEADLINE_S": 86_400.0,
        "MAX_DELAY_S": 31_622_400.0,
        "MAX_BODY_BYTES": 65_536,
        "MAX_WAIT_S": 2_592_000.0,
        "MAX_CHECKED_MESSAGES": 64,
        "MAX_WAIT_EVENTS": 64,
        "MAX_WAIT_KINDS": 64,
        "MAX_CORRELATION": 16,
        "MAX_RUN_DEPTH": 8,
        "MAX_CREDIT": 10_000,
        "MAX_PROMPT_BYTES": 16_777_216,
        "MAX_PROMPT_MESSAGES": 10_000,
        "MAX_PENDING_INPUTS": 100,
        "MAX_SUPERSEDED_IDS": 1_000,
        "MAX_CANCELLED_IDS": 1_000,
        "DEFAULT_PAGE": 50,
        "MAX_PAGE": 200,
        "MAX_SHOWN_CALLS": 1_000,
    },
    "registry.core.changes.applying": {
        "MAX_DIAGNOSTICS": 10_000,
        "MAX_BYTES_AT_ONCE": 4_096,
        "MAX_TARGETS_AT_ONCE": 4_096,
    },
    "registry.core.rules.fields": {
        "MAX_ROUNDS": 1_000,
        "MAX_TOTAL_TOKENS": 100_000_000,
        "MAX_OUTPUT_TOKENS": 4_294_967_295,
        "MAX_WEIGHT": 1_000_000,
        "MAX_TOKENS": 1_000_000_000,
    },
    "registry.core.rules.providers": {"MAX_PORT": 65_535},
    "registry.core.rules.validating": {"MAX_RESOURCE_BYTES": 1_048_576},
    "registry.core.paging": {"MAX_PAGE_ITEMS": 1_000, "DEFAULT_PAGE_ITEMS": 100, "MAX_PAIRS": 200},
}
ANY = re.compile(r"(MAX|MIN|DEFAULT)_\w+")


def imported_by_sizes(service: str) -> set[str]:
    """Names that the sizes of the fields are made of, which ``limits.md`` repeats."""
    return set(vars(importlib.import_module(f"services.{service}.api.sizes")))


@pytest.mark.parametrize("module", NUMBERS)
def test_a_number_is_what_is_written_here(module: str) -> None:
    names = vars(importlib.import_module(f"services.{module}"))

    written = NUMBERS[module]
    assert {name: names[name] for name in written} == written


@pytest.mark.parametrize("service", ["pool", "router", "runcontrol"])
def test_every_number_of_the_limits_of_a_service_is_written_somewhere(service: str) -> None:
    module = f"{service}.core.limits"
    names = set(vars(importlib.import_module(f"services.{module}")))

    others = {name for name in names if ANY.fullmatch(name)} - imported_by_sizes(service)

    assert others == NUMBERS[module].keys()


def condition(**fields: Any) -> list[str]:
    wanted = pool.WakeCondition()
    wanted.CopyFrom(CONDITION)
    wanted.MergeFrom(pool.WakeCondition(**fields))
    request = pool_service.SuspendUntilRequest(pool_id="p", condition=wanted)
    return refused(pool_requests.condition_from_pb, request)


def fetch(lease: Duration) -> list[str]:
    request = pool_service.FetchInboxRequest(pool_id="p", run_id="r", lease=lease)
    return refused(pool_requests.fetch_from_pb, request)


def infer(temperature: float) -> list[str]:
    request = router_service.InferRequest(target_id="m", messages=[SAID])
    request.sampling.temperature = temperature
    return refused(infer_from_pb, request)


def submit(max_rounds: int) -> list[str]:
    budget = run.Budget(max_rounds=max_rounds)
    request = run_service.SubmitRunRequest(messages=[SAID], agent_id="a", budget=budget)
    return refused(submit_from_pb, request)


def agent(**fields: Any) -> list[str]:
    message = registry.Resource(agent=registry.Agent(id="a", model_id="m", **fields))
    return [each.field for each in submitted_violations(submitted_from_pb(message, "agent"))]


def refused(decode: Callable[[Any], object], request: object) -> list[str]:
    """The fields that a request is refused for."""
    try:
        decode(request)
    except InvalidRequestError as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize(
    ("at_limit", "beyond", "field"),
    [
        (lambda: condition(after_matches=64), lambda: condition(after_matches=65), "condition"),
        (
            lambda: condition(timeout=Duration(seconds=1_000_000_000)),
            lambda: condition(timeout=Duration(seconds=1_000_000_001)),
            "condition.timeout",
        ),
        (lambda: fetch(Duration(seconds=1)), lambda: fetch(Duration(nanos=999_999_000)), "lease"),
        (
            lambda: fetch(Duration(seconds=43_200)),
            lambda: fetch(Duration(seconds=43_201)),
            "lease",
        ),
        (lambda: infer(2.0), lambda: infer(2.001), "sampling.temperature"),
        (lambda: submit(1_000), lambda: submit(1_001), "budget.max_rounds"),
        (lambda: agent(max_rounds=1_000), lambda: agent(max_rounds=1_001), "agent.max_rounds"),
        (
            lambda: agent(max_total_tokens=100_000_000),
            lambda: agent(max_total_tokens=100_000_001),
            "agent.max_total_tokens",
        ),
    ],
)
def test_a_number_is_taken_at_its_limit_and_refused_beyond(
    at_limit: Callable[[], list[str]], beyond: Callable[[], list[str]], field: str
) -> None:
    assert at_limit() == []
    assert [each for each in beyond() if each.startswith(field)] != [], f"{field} is taken"


def test_what_is_not_asked_for_has_a_default_and_what_is_too_much_is_cut() -> None:
    assert [fetch_limit(0, 0), fetch_limit(0, 7), fetch_limit(65, 0)] == [16, 7, 64]
    assert [page_limit(0), page_limit(500), page_limit(501)] == [50, 500, 500]
    assert [page_size(0), page_size(200), page_size(201)] == [50, 200, 200]


def test_a_fetch_without_a_lease_leases_for_half_a_minute() -> None:
    request = pool_service.FetchInboxRequest(pool_id="p", run_id="r")

    assert pool_requests.fetch_from_pb(request).lease == timedelta(seconds=30)


def test_a_run_without_a_deadline_has_a_day_and_a_longer_one_is_shortened() -> None:
    request = run_service.SubmitRunRequest(messages=[SAID], agent_id="a")
    longer = run_service.SubmitRunRequest(messages=[SAID], agent_id="a")
    longer.deadline.FromSeconds(86_401)

    assert submit_from_pb(request).deadline_s == 86_400.0
    assert submit_from_pb(longer).deadline_s == 86_400.0
