"""What a shell is told after Tab, by the protocol that the shells' scripts speak."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from tests.contract.cli.process import COMMAND, environment, registry_with, runyard
from tests.support.registry_resources import model, provider, quickstart, tool

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
NOWHERE = {"RUNYARD_ENDPOINTS": "registry=127.0.0.1:1"}


async def offered(line: str, **variables: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    answer = await runyard(_RUNYARD_COMPLETE="complete_bash", **asked, **variables)
    assert answer.err == ""
    return answer.out.split()


async def test_commands_and_kinds_complete_without_a_server() -> None:
    assert "export" in await offered("runyard ex", **NOWHERE)
    kinds = ["provider", "model", "pool", "agent", "tool"]
    assert await offered("runyard get ", **NOWHERE) == kinds
    assert await offered("runyard export agent p", **NOWHERE) == ["provider", "pool"]
    assert await offered("runyard provider remove x --policy ", **NOWHERE) == ["block", "cascade"]


async def test_ids_complete_from_the_registry(tmp_path: Path) -> None:
    """Only those that a shell takes as they are."""
    odd = [tool(id_) for id_ in ("with blank", "$(reboot)", "a'b", "plain/1.2@eu")]
    async with registry_with(tmp_path, *quickstart(), model("smart"), *odd) as (at, _):
        endpoint = at["RUNYARD_ENDPOINTS"]
        assert await offered("runyard get model s", **at) == ["small", "smart"]
        assert await offered("runyard describe model sma", **at) == ["small", "smart"]
        assert await offered("runyard delete model small smar", **at) == ["smart"]
        assert await offered("runyard provider remove ", **at) == ["local"]
        assert await offered("runyard get tool ", **at) == ["plain/1.2@eu", "search"]
        assert await offered(f"runyard get agent --endpoint {endpoint} ", **NOWHERE) == ["scout"]


async def test_the_other_shells_get_the_same_completions(tmp_path: Path) -> None:
    async with registry_with(tmp_path, provider("north")) as (at, _):
        line = {"_TYPER_COMPLETE_ARGS": "runyard get provider n", **at}
        zsh = await runyard(_RUNYARD_COMPLETE="complete_zsh", **line)
        fish = await runyard(
            _RUNYARD_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", **line
        )
    assert zsh.out.strip() == """_arguments '*: :(("north"))'"""
    assert fish.out.strip() == "north"


@pytest.mark.parametrize(
    "line", ["runyard get agent s", "runyard get agnet s", "runyard provider remove s"]
)
async def test_without_a_registry_nothing_is_offered_and_nothing_said(line: str) -> None:
    assert await offered(line, **NOWHERE) == []


async def test_a_registry_that_does_not_answer_is_not_waited_for() -> None:
    # given one that takes the connection and says nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = {"RUNYARD_ENDPOINTS": f"registry=127.0.0.1:{silent.getsockname()[1]}"}

        # when
        found = await offered("runyard get agent s", **at)

    # then it comes back long before the test's own limit
    assert found == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_script_is_shown_for_each_shell(shell: str) -> None:
    answer = await runyard(_RUNYARD_COMPLETE=f"source_{shell}")
    assert answer.code == 0
    assert f"_RUNYARD_COMPLETE=complete_{shell}" in answer.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
async def test_bash_completes_with_the_script_that_it_is_given(tmp_path: Path) -> None:
    # given the installed script and a command of that name
    command = tmp_path / "runyard"
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    script = tmp_path / "completion.sh"
    script.write_text((await runyard(_RUNYARD_COMPLETE="source_bash")).out)

    # when a word is completed as bash does it
    async with registry_with(tmp_path, provider("north"), provider("south")) as (at, _):
        typed = "COMP_WORDS=(runyard get provider s); COMP_CWORD=3; _runyard_completion runyard"
        line = f'. "{script}"; PATH="{tmp_path}:$PATH"; {typed}; echo "${{COMPREPLY[@]}}"'
        process = await asyncio.create_subprocess_exec(
            *("bash", "--norc", "-c", line),
            env=environment(**at),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()

    # then
    assert (process.returncode, out, err) == (0, b"south\n", b"")
