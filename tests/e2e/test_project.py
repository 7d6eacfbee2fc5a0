"""A new user's agent with a tool of its own: written, changed, run, approved, killed meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_up import Up, endpoints, running_up, runyard
from tests.support.waiting import within_limit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_an_agent_calls_a_tool_of_its_own_through_kills(tmp_path: Path) -> None:
    # given a new project whose function writes what it does into a file
    project, ledger = tmp_path / "desk", tmp_path / "ledger"
    assert (await runyard("init", str(project))).code == 0
    worker = project / "worker.py"
    line = '    context.progress(f"looking order {order} up")\n'
    written = worker.read_text()
    assert line in written
    note = f'    with open({str(ledger)!r}, "a") as done:\n        done.write(str(order))\n'
    worker.write_text(written.replace(line, line + note))

    async with running_up(tmp_path / "data", str(project)) as up:
        ready = await up.until("ready")
        where = {"RUNYARD_ENDPOINTS": endpoints(ready)}

        # when its agent asks for consent, the worker and run control are killed, and it is given
        run_id = await submitted(where)
        ticket = await open_ticket(run_id, where)
        for name in ("worker", "runcontrol"):
            os.kill(ready["pids"][name], signal.SIGKILL)
            await until_started_again(up, name)
        await approve(ticket, where)

        # then the run ends with the result of the tool, which was executed once
        watched = await runyard("watch", "run", run_id, "-o", "json", **where)
    said = watched.lines[-1]["run_finished"]["output_text"]
    assert said == "Done: order 4711 was paid back because the customer asked for it"
    assert ledger.read_text() == "4711"


async def submitted(where: dict[str, str]) -> str:
    """The id of a run, once the worker has announced its tool."""
    ask = ("run", "desk", "Please pay order 4711 back.", "--no-follow", "-o", "json")
    async with within_limit():
        while True:
            answer = await runyard(*ask, **where)
            if answer.code == 0:
                run_id: str = answer.lines[0]["run_id"]
                return run_id
            assert "TOOL_NOT_SUPPORTED" in answer.err


async def open_ticket(run_id: str, where: dict[str, str]) -> str:
    async with within_limit():
        while True:
            answer = await runyard("tickets", "--run", run_id, "-o", "json", **where)
            found: list[dict[str, Any]] = answer.lines[0]["tickets"]
            if found:
                ticket_id: str = found[0]["ticket_id"]
                return ticket_id


async def approve(ticket: str, where: dict[str, str]) -> None:
    """Approve, once the server is back."""
    async with within_limit():
        while True:
            answer = await runyard("decide", ticket, "approve", "--decision-id", "d-1", **where)
            if answer.code == 0:
                return
            assert "UNREACHABLE" in answer.err


async def until_started_again(up: Up, name: str) -> None:
    while (await up.until("restarted"))["service"] != name:
        pass


async def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    answer = await runyard("init", str(tmp_path))
    assert answer.code == 2
    assert "is not empty" in answer.err
    assert (tmp_path / "kept").read_text() == "mine"
    assert not (tmp_path / "worker.py").exists()


async def test_a_project_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    project = tmp_path / "desk"
    await runyard("init", str(project))
    (project / "worker.py").write_text("raise SystemExit('broken')")
    answer = await runyard("up", str(project), "--data", str(tmp_path / "data"))
    assert answer.code == 2
    assert "does not list its tools: broken" in answer.err
    assert not (tmp_path / "data").exists()
