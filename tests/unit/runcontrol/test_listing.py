"""Lists: which entries a page has, and where the next one begins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.chassis.caller import Caller, Principal, Role
from services.content.model import Message, Text
from services.content.model import Role as Speaker
from services.runcontrol.core.errors import RunNotFoundError, ThreadNotFoundError
from services.runcontrol.core.listing import (
    MAX_PAGE_BYTES,
    MAX_SCANNED,
    MessageQuery,
    RunQuery,
    ThreadQuery,
)
from services.runcontrol.core.model import RunState
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.submission import SubmitCommand
from tests.support.callers import LOCAL
from tests.support.clock import START
from tests.unit.runcontrol.in_memory_runcontrol import QUESTION, InMemoryRunControl, now

ANN = Caller(Principal("default", frozenset({Role.AGENT}), "ann"))


def reading(system: InMemoryRunControl) -> Reading:
    return Reading(system.store)


def listed(system: InMemoryRunControl, **query: Any) -> list[str]:
    """The ids of all pages."""
    wanted, found = RunQuery(**query), []
    while True:
        page = now(reading(system).runs(LOCAL, wanted))
        found += [run.run_id for run in page.entries]
        if page.following is None:
            return found
        wanted = RunQuery(**{**query, "before": page.following})


def three_runs(system: InMemoryRunControl) -> list[str]:
    """One that waits for a person, one of somebody else, one that is queued; a second apart."""
    system.start(QUESTION, thread_id="t1", labels=(("team", "a"), ("tier", "1")))
    system.clock.advance(1.0)
    said = (Message(Speaker.USER, (Text("go"),)),)
    now(system.runs.submit(ANN, SubmitCommand(said, "t2", "helper", labels=(("team", "b"),))))
    system.clock.advance(1.0)
    system.submit(thread_id="t1")
    return [run.run_id for run in system.tables.runs.values()]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_runs_are_listed_newest_first_however_large_the_pages(
    system: InMemoryRunControl, limit: int
) -> None:
    first, second, third = three_runs(system)
    assert listed(system, limit=limit) == [third, second, first]


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ({"thread_id": "t1"}, [2, 0]),
        ({"agent_id": "nobody"}, []),
        ({"submitted_by": "ann"}, [1]),
        ({"states": frozenset({RunState.WAITING})}, [0]),
        ({"labels": (("team", "a"),)}, [0]),
        ({"labels": (("team", "a"), ("tier", "2"))}, []),
        ({"since": START + timedelta(seconds=1)}, [2, 1]),
        ({"until": START + timedelta(seconds=1)}, [0]),
    ],
)
def test_a_list_has_what_matches(
    system: InMemoryRunControl, query: dict[str, Any], positions: list[int]
) -> None:
    runs = three_runs(system)
    assert listed(system, **query) == [runs[position] for position in positions]


def test_a_page_looks_at_so_many_runs_and_goes_on(system: InMemoryRunControl) -> None:
    # given more runs than a page looks at, of which only the oldest matches
    oldest = system.submit(labels=(("wanted", "yes"),)).run_id
    for _ in range(MAX_SCANNED + 1):
        system.clock.advance(0.001)
        system.submit()

    # when that one is listed
    wanted = RunQuery(labels=(("wanted", "yes"),))
    page = now(reading(system).runs(LOCAL, wanted))

    # then the first page is empty and says where the next begins
    assert page.entries == ()
    assert page.following is not None
    assert listed(system, labels=(("wanted", "yes"),)) == [oldest]


def test_a_page_of_large_runs_is_short(system: InMemoryRunControl) -> None:
    runs = three_runs(system)
    for key, run in system.tables.runs.items():
        large = "🚀" * (MAX_PAGE_BYTES // 4)
        system.tables.runs[key] = type(run)(**{**_fields(run), "output_text": large})
    page = now(reading(system).runs(LOCAL, RunQuery()))
    assert [run.run_id for run in page.entries] == [runs[2]]
    assert listed(system) == runs[::-1]


def _fields(run: Any) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def test_threads_are_listed_by_their_last_use(system: InMemoryRunControl) -> None:
    three_runs(system)
    first = now(reading(system).threads(LOCAL, ThreadQuery(limit=1)))
    assert first.following is not None
    second = now(reading(system).threads(LOCAL, ThreadQuery(limit=1, before=first.following)))
    assert [view.thread.thread_id for view in (*first.entries, *second.entries)] == ["t1", "t2"]
    assert first.entries[0].queued == 1
    assert second.following is None


def test_the_active_run_is_the_running_one_else_the_open_one(system: InMemoryRunControl) -> None:
    # given a thread whose run waits, and a queued one behind it
    runs = three_runs(system)
    view, open_run = now(reading(system).active(LOCAL, "t1"))
    assert open_run is not None
    assert (open_run.run.run_id, view.queued, len(open_run.open_tickets)) == (runs[0], 1, 1)

    # and a thread whose run executes
    system.claim()
    _, running = now(reading(system).active(LOCAL, "t2"))
    assert running is not None
    assert running.run.state is RunState.RUNNING


def test_an_idle_thread_has_no_active_run(system: InMemoryRunControl) -> None:
    system.start(thread_id="t")
    view, active = now(reading(system).active(LOCAL, "t"))
    assert (active, view.queued) == (None, 0)


def test_messages_are_listed_oldest_first_and_by_run(system: InMemoryRunControl) -> None:
    # given two runs that have ended on a thread
    first = system.submit(thread_id="t", text="one").run_id
    system.execute()
    system.submit(thread_id="t", text="two")
    system.execute()

    # then
    whole = now(reading(system).messages(LOCAL, MessageQuery("t")))
    assert [each.seq for each in whole.entries] == [1, 2, 3, 4]
    of_first = now(reading(system).messages(LOCAL, MessageQuery("t", first)))
    assert [each.seq for each in of_first.entries] == [1, 2]
    page = now(reading(system).messages(LOCAL, MessageQuery("t", limit=3)))
    assert (len(page.entries), page.following) == (3, 3)
    rest = now(reading(system).messages(LOCAL, MessageQuery("t", after=3)))
    assert ([each.seq for each in rest.entries], rest.following) == ([4], None)


def test_a_page_of_large_messages_is_short(system: InMemoryRunControl) -> None:
    system.submit(thread_id="t", text="x" * MAX_PAGE_BYTES)
    system.execute()
    page = now(reading(system).messages(LOCAL, MessageQuery("t")))
    assert ([each.seq for each in page.entries], page.following) == ([1], 1)


def test_what_is_not_there_is_said(system: InMemoryRunControl) -> None:
    other = system.submit(thread_id="other").run_id
    system.submit(thread_id="t")
    with pytest.raises(ThreadNotFoundError):
        now(reading(system).thread(LOCAL, "none"))
    with pytest.raises(ThreadNotFoundError):
        now(reading(system).active(LOCAL, "none"))
    with pytest.raises(ThreadNotFoundError):
        now(reading(system).messages(LOCAL, MessageQuery("none")))
    for run_id in ("none", other):
        with pytest.raises(RunNotFoundError):
            now(reading(system).messages(LOCAL, MessageQuery("t", run_id)))
