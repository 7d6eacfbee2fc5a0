"""``runyard fake-provider``: serves until a signal, and says what is wrong with its script."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.contract.cli.process import runyard
from tests.support.waiting import within_limit

ONE = """
kind: Provider
id: south
spec:
  builtin:
    steps:
      - reply: {text: "the tide is in"}
"""
TWO = f"{ONE}---{ONE.replace('south', 'north').replace('tide is in', 'tide is out')}"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.yaml"
    path.write_text(TWO)
    return path


async def test_it_serves_the_provider_that_is_named_until_a_signal(script: Path) -> None:
    # given the command, on a free port
    command = ("-m", "services.cli.main", "fake-provider", "--script", str(script))
    options = ("--provider", "north", "--port", "0", "-o", "json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, *options),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with within_limit(), aiohttp.ClientSession() as session:
            at = json.loads(await process.stdout.readline())

            # when it is asked, and told to stop
            url = f"{at['openai_base_url']}/chat/completions"
            asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
            async with session.post(url, json=asked) as response:
                answer = await response.json()
            told = json.loads(await process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    # then
    assert answer["choices"][0]["message"]["content"] == "the tide is out"
    path = "/v1/chat/completions"
    assert told == {"path": path, "model": "m", "messages": 1, "outcome": "answer"}
    assert code == 0


async def test_it_says_what_it_cannot_serve(script: Path, tmp_path: Path) -> None:
    # given a file with two scripts, one with none, one with a mistake, and an address in use
    none = tmp_path / "none.yaml"
    none.write_text("kind: Model\nid: m\nspec: {provider_id: p, upstream_model: u}\n")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(ONE.replace("reply", "repli"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        # when each is to be served
        which = await runyard("fake-provider", "--script", str(script))
        nothing = await runyard("fake-provider", "--script", str(none))
        mistake = await runyard("fake-provider", "--script", str(wrong))
        occupied = await runyard(
            "fake-provider", "--script", str(script), "--provider", "north", "--port", port
        )

    # then
    answers = [which, nothing, mistake, occupied]
    assert [answer.code for answer in answers] == [2, 2, 2, 2]
    assert "2 provider(s) of the adapter builtin: south, north" in which.err
    assert "--provider ID" in which.err
    assert "0 provider(s)" in nothing.err
    assert 'did you mean "reply"?' in mistake.err
    assert f"cannot listen on 127.0.0.1:{port}" in occupied.err
    assert "--port" in occupied.err
