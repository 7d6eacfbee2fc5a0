"""LiteLLM's proxy as an arm of ``bench_router``, in a virtual environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from services.chassis.clock import SystemClock
from tests.bench.router_processes import FAST, PACED
from tests.support.stack import free_port

_FOLDER = Path("build") / "peers" / "litellm"
_PACKAGE = "litellm[proxy]"
_START_LIMIT_S = 120.0
_ENVIRONMENT = {
    # It asks the network for prices and for its version otherwise.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
    # As the router: no credential of callers.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def installed() -> bool:
    """Whether it is there; installs it if it can."""
    script = _FOLDER / "bin" / "litellm"
    if not script.exists():
        venv.create(_FOLDER, with_pip=True, clear=True)
        pip = [str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", _PACKAGE]
        if subprocess.run(pip, check=False).returncode or not script.exists():
            print("litellm cannot be installed here: its arm is absent", file=sys.stderr)
            return False
    return True


@asynccontextmanager
async def running(data: Path, provider_url: str) -> AsyncIterator[tuple[int, str]]:
    """The proxy before the provider, with its defaults and one worker; its process and its URL.

    Raises:
        RuntimeError: It did not start; the message has what it said.
    """
    config, log_path = data / "litellm.yaml", data / "litellm.log"
    # JSON is YAML.
    models = [_model(name, provider_url) for name in (FAST, PACED)]
    config.write_text(json.dumps({"model_list": models}))
    port = free_port()
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str((_FOLDER / "bin" / "litellm").absolute()),
            *("--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
            stdout=log,
            stderr=log,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": ""},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await _until_ready(process, url, log_path)
        yield process.pid, url
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _model(name: str, provider_url: str) -> dict[str, object]:
    upstream = {"model": f"openai/{name}", "api_base": f"{provider_url}/v1", "api_key": "none"}
    return {"model_name": name, "litellm_params": upstream}


async def _until_ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(_START_LIMIT_S):
        while True:
            if process.returncode is not None:
                said = await asyncio.to_thread(log.read_text)
                raise RuntimeError(f"litellm has ended:\n{said[-2000:]}")
            with suppress(aiohttp.ClientError):
                async with session.get(f"{url}/health/liveliness") as response:
                    if response.status == 200:
                        return
            await SystemClock().sleep(0.2)
