"""A process that has imported the command, and forks for each command line that a test runs.

Importing takes most of the time of a short command. A fork is as good as a new process: arguments,
environment, standard streams and exit code are its own. What happens at the import is tested by
those tests that start the interpreter: ``test_start_up.py``, ``tests/e2e/test_up.py``.

    test process ──socket: arguments, environment, 4 files──► this process
                                                               └─ fork: waits for the command,
                                                                  └─ fork: runs the command
                 ◄───────────pipe: exit code──────────────────┘
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

_EXIT_CODE_BYTES = 4
# What commands import once they run.
_IMPORTED_LATER = ("services.chassis.server.service", "services.registry.main", "typer.rich_utils")


@dataclass(frozen=True)
class Answer:
    """What a command wrote and how it ended; a negative code is that of a signal."""

    code: int
    out: str
    err: str


class CommandServer:
    """The side of the tests."""

    def __init__(self, to_server: socket.socket) -> None:
        self._to_server = to_server

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], text: str) -> Answer:
        """Run one command with ``text`` as its input; blocks. Threads may call it at once."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(text.encode())
            given.seek(0)
            code = self._run(arguments, environment, [each.fileno() for each in (given, out, err)])
            for each in (out, err):
                each.seek(0)
            return Answer(code, out.read().decode(), err.read().decode())

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str], streams: list[int]
    ) -> int:
        request = json.dumps([list(arguments), dict(environment)]).encode()
        result, told = os.pipe()
        with os.fdopen(result, "rb") as reading:
            try:
                # One message: requests of several threads do not mix.
                socket.send_fds(self._to_server, [request], [*streams, told])
            finally:
                os.close(told)
            answer = reading.read(_EXIT_CODE_BYTES)
        assert len(answer) == _EXIT_CODE_BYTES, "the server of commands has ended"
        return int.from_bytes(answer, "big", signed=True)


@contextmanager
def command_server() -> Iterator[CommandServer]:
    """A running server; it ends when its socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        yield CommandServer(ours)
    process.wait()


def serve(requests: socket.socket) -> int:
    """Fork for each request. Returns at the end of requests, and in the fork of each command."""
    main: Callable[[], int] = import_module("services.cli.main").main
    for name in _IMPORTED_LATER:
        import_module(name)
    gc.freeze()  # what is here stays: a fork that went through it would have to copy it all
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"a fork has one thread, but the import has started {threads - 1} more"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        request, files, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not request:
            return 0
        if os.fork() == 0:
            requests.close()
            return _command(main, request, files)
        for each in files:
            os.close(each)


def _command(main: Callable[[], int], request: bytes, files: list[int]) -> int:
    """Wait for a fork that runs the command, and tell its exit code; returns in that fork alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, told = files
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(told, code.to_bytes(_EXIT_CODE_BYTES, "big", signed=True))
        os._exit(0)
    os.close(told)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    arguments, environment = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    return main()


if __name__ == "__main__":
    raise SystemExit(serve(socket.socket(fileno=int(sys.argv[1]))))
