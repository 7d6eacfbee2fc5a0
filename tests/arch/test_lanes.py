"""No two aggregates, of one tenant or of two, share a lane of an outbox."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import services.runcontrol.store.rows
from services.chassis.caller import in_tenant, tenant_of
from tests.arch.project import SERVICES, parsed, python_files

LaneOf: TypeAlias = Callable[[str, str], str]

LANE_OF: dict[str, LaneOf] = {
    "runcontrol": services.runcontrol.store.rows.lane_of,
    "pool": in_tenant,
}
# Separators and digits, so that one pair can look like the beginning of another.
IDS = st.text("ab/:01 ü", max_size=6)


def _lanes(service: str) -> Iterator[tuple[str, ast.expr]]:
    """Every lane that the service gives to a row: the file, and how it is made."""
    for path in python_files(f"services/{service}"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = {each.arg: each.value for each in node.keywords}
                if node.func.id == "put" and "lane" in named:
                    yield path.name, named["lane"]


SENDERS = [service for service in SERVICES if any(_lanes(service))]


def test_every_service_with_an_outbox_is_found() -> None:
    tables = [import_module(f"services.{service}.store.tables") for service in SERVICES]
    with_outbox = [
        service
        for service, module in zip(SERVICES, tables, strict=True)
        if "outbox" in module.metadata.tables
    ]
    assert with_outbox == SENDERS == list(LANE_OF)


@pytest.mark.parametrize("service", SENDERS)
def test_every_lane_is_made_by_one_function(service: str) -> None:
    made = [(name, ast.unparse(lane).partition("(")[0]) for name, lane in _lanes(service)]
    assert [each for each in made if each[1] != LANE_OF[service].__name__] == []


@pytest.mark.parametrize("service", SENDERS)
def test_two_aggregates_never_share_a_lane(service: str) -> None:
    lane_of = LANE_OF[service]

    @given(one=st.tuples(IDS, IDS), other=st.tuples(IDS, IDS))
    @example(one=("a", "b/c"), other=("a/b", "c"))
    @example(one=("a", "1:b/c"), other=("a/1:b", "c"))
    @example(one=("1:a", "b"), other=("a", "b"))
    def check(one: tuple[str, str], other: tuple[str, str]) -> None:
        assert (lane_of(*one) == lane_of(*other)) == (one == other)
        assert tenant_of(lane_of(*one)) == one[0]

    check()
