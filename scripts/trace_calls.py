"""Which files a call enters, from its first byte to its last, traced while it runs.

python -m scripts.trace_calls           write the lists into the services' READMEs
python -m scripts.trace_calls --check   compare; exit 1 on a difference, or beyond the limits below
python -m scripts.trace_calls --print   print them, with the lines of each file

One call to one service is traced, after one like it has been made; loops in the background are left
out. A file counts when a function of it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import grpc

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pool_service
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1 import registry_service_pb2 as registry_service
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from runyard.router.v1 import router_service_pb2 as router_service
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.runcontrol.v1 import runcontrol_service_pb2 as runcontrol_service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.channel import open_channel
from services.chassis.server.definition import ServiceDefinition
from services.chassis.server.handlers.served import ServedMethods
from services.chassis.server.server import running
from services.chassis.store.job import JobQueue
from services.pool.main import SERVICE as POOL
from services.registry.main import SERVICE as REGISTRY
from services.router.main import SERVICE as ROUTER
from services.runcontrol.main import SERVICE as RUNCONTROL

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ROOT / "services"
SECTION = re.compile(r"(<!-- path: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
START_LIMIT_S = 30.0
# So that a stranger can read what happens from end to end.
MAX_FILES = 32
MAX_LINES = 400

Call: TypeAlias = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Traced:
    """One RPC, and the files it entered, in order."""

    service: str
    method: str
    files: tuple[str, ...]


class Recorder:
    """Notes the files of ``services/`` that the marked call enters, in any thread."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self._marked: ContextVar[bool] = ContextVar("marked", default=False)
        self._job = threading.local()
        self._loop_thread = threading.get_ident()
        # Name of the RPC that is traced; none while it is empty.
        self.method = ""

    def mark(self, method: str) -> None:
        """What the current task does from now on belongs to the call, if that is traced."""
        if self.method and method.endswith(f"/{self.method}"):
            self._marked.set(True)

    def carried(self, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``fn``, also recorded in the thread that runs it."""
        if not self._marked.get():
            return fn

        def recorded(tx: Any) -> Any:
            self._job.runs = True
            sys.setprofile(self._profile)
            try:
                return fn(tx)
            finally:
                sys.setprofile(None)
                self._job.runs = False

        return recorded

    def watch(self) -> None:
        """Look at the functions of this thread."""
        sys.setprofile(self._profile)

    def stop(self) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _arg: object) -> None:
        if event != "call" or not (self._marked.get() or getattr(self._job, "runs", False)):
            return
        name = frame.f_code.co_filename
        if name.startswith(f"{SERVICES}/"):
            self.files.setdefault(name.removeprefix(f"{ROOT}/"))


def install(recorder: Recorder) -> None:
    """Mark a call where the server first sees it, and carry the mark into the store's threads."""
    find, submit = ServedMethods.service, JobQueue.submit

    def found(self: ServedMethods, handler_call_details: grpc.HandlerCallDetails) -> Any:
        recorder.mark(handler_call_details.method)
        return find(self, handler_call_details)

    def submitted(self: JobQueue, fn: Callable[[Any], Any], *, first: bool = False) -> Any:
        return submit(self, recorder.carried(fn))

    ServedMethods.service = found  # type: ignore[method-assign]
    JobQueue.submit = submitted  # type: ignore[method-assign]


class Suite:
    """The four servers in this process, on free ports and SQLite."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack

    async def start(self, definition: ServiceDefinition[Any], **fields: str) -> grpc.aio.Channel:
        name = definition.settings.service()
        settings = definition.settings(
            listen="127.0.0.1:0",
            database_url=f"sqlite:///{self._folder / name}.db",
            drain_grace_s=1.0,
            **fields,
        )
        server = await self._stack.enter_async_context(running(settings, definition.build))
        self.target = server.target
        return await self._stack.enter_async_context(open_channel(server.target))


async def trace() -> list[Traced]:
    """Start everything, make each call once, and trace the second."""
    recorder = Recorder()
    install(recorder)
    traced = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            for (service, method), call in (await calls(Suite(Path(folder), stack))).items():
                await call("first")
                recorder.files, recorder.method = {}, method
                recorder.watch()
                await call("second")
                recorder.stop()
                recorder.method = ""
                traced.append(Traced(service, method, tuple(recorder.files)))
    return traced


async def calls(suite: Suite) -> Mapping[tuple[str, str], Call]:
    """One call to each service; each is ready to be made."""
    registry_stub = RegistryServiceStub(await suite.start(REGISTRY))
    await registry_stub.ApplyResources(registry_service.ApplyResourcesRequest(resources=seed()))
    registry_target = suite.target
    # Nothing is sent to run control here: the wait that would cause it never ends.
    pool_stub = PoolServiceStub(await suite.start(POOL, runcontrol_target="127.0.0.1:9"))
    pool_target = suite.target
    router_stub = RouterServiceStub(await suite.start(ROUTER, registry_target=registry_target))
    runcontrol_stub = RunControlServiceStub(
        await suite.start(
            RUNCONTROL,
            registry_target=registry_target,
            router_target=suite.target,
            pool_target=pool_target,
        )
    )
    await open_pool(pool_stub)

    async def apply(name: str) -> None:
        changed = registry.Resource(
            model=registry.Model(id=name, provider_id="local", upstream_model="upstream")
        )
        request = registry_service.ApplyResourcesRequest(resources=[changed], request_id=name)
        await registry_stub.ApplyResources(request)

    async def infer(name: str) -> None:
        request = router_service.InferRequest(target_id="small", messages=[said(name)])
        async with asyncio.timeout(START_LIMIT_S):
            async for _ in router_stub.Infer(request):
                pass

    async def submit(name: str) -> None:
        request = runcontrol_service.SubmitRunRequest(
            agent_id="scout", messages=[said(name)], request_id=name
        )
        await runcontrol_stub.SubmitRun(request)

    async def send(name: str) -> None:
        message = pool.Message(
            from_run_id="a",
            to=pool.Address(run_id="b"),
            idempotency_key=name,
            message_id=name,
            inline_body=pool.InlineBody(data=b"hello", media_type="text/plain"),
        )
        request = pool_service.SendMessageRequest(pool_id="p", message=message, request_id=name)
        await pool_stub.SendMessage(request)

    return {
        ("registry", "ApplyResources"): apply,
        ("router", "Infer"): infer,
        ("runcontrol", "SubmitRun"): submit,
        ("pool", "SendMessage"): send,
    }


def seed() -> list[registry.Resource]:
    """A model that echoes, and an agent of it."""
    return [
        registry.Resource(
            provider=registry.Provider(id="local", builtin=registry.BuiltinAdapter())
        ),
        registry.Resource(
            model=registry.Model(id="small", provider_id="local", upstream_model="upstream")
        ),
        registry.Resource(agent=registry.Agent(id="scout", model_id="small")),
    ]


async def open_pool(stub: Any) -> None:
    await stub.OpenPool(pool_service.OpenPoolRequest(pool_id="p"))
    for run_id in ("a", "b"):
        await stub.JoinPool(
            pool_service.JoinPoolRequest(pool_id="p", run_id=run_id, agent_id="agent")
        )


def said(text: str) -> content.Message:
    part = content.Part(text=content.Text(text=text))
    return content.Message(role=content.MESSAGE_ROLE_USER, parts=[part])


def lines_of(file: str) -> int:
    return len((ROOT / file).read_text().splitlines())


def listed(traced: Traced) -> str:
    """The section of a README: folders in order, files behind them."""
    folders: dict[str, list[str]] = {}
    for file in traced.files:
        folder, name = file.removeprefix("services/").rsplit("/", 1)
        folders.setdefault(folder, []).append(f"`{name.removesuffix('.py')}`")
    rows = "\n".join(f"| `{folder}/` | {' '.join(names)} |" for folder, names in folders.items())
    head = "| folder | files, in the order of entry |\n|---|---|"
    return f"{len(traced.files)} files:\n\n{head}\n{rows}\n"


def complaints(traced: Traced) -> list[str]:
    """What a stranger would have to read too much of."""
    found = []
    if len(traced.files) > MAX_FILES:
        found.append(f"{traced.method} enters {len(traced.files)} files, at most {MAX_FILES}")
    long = [file for file in traced.files if lines_of(file) > MAX_LINES]
    return found + [f"{file} has more than {MAX_LINES} lines" for file in long]


def updated(text: str, found: Mapping[str, Traced]) -> str:
    return SECTION.sub(lambda match: f"{match[1]}{listed(found[match[2]])}{match[3]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--print", action="store_true", help="print only", dest="show")
    options = parser.parse_args(argv)
    traced = asyncio.run(trace())
    if options.show:
        for each in traced:
            print(f"{each.service} {each.method}: {len(each.files)} files")
            print("".join(f"{lines_of(file):6} {file}\n" for file in each.files))
        return 0
    stale = []
    grown = [complaint for each in traced for complaint in complaints(each)]
    print("".join(f"{complaint}\n" for complaint in grown), end="", file=sys.stderr)
    for each in traced:
        page = SERVICES / each.service / "README.md"
        before = page.read_text()
        after = updated(before, {each.method: each})
        if after != before and options.check:
            stale.append(page.relative_to(ROOT).as_posix())
        elif after != before:
            page.write_text(after)
    if stale:
        print(f"out of date: {', '.join(stale)}; run: make generate", file=sys.stderr)
    return 1 if stale or grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
