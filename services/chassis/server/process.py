"""A service as a process: read settings, serve until a signal, drain, exit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from services.chassis import failpoints, slices
from services.chassis.clock import SystemClock
from services.chassis.config.settings import load_settings
from services.chassis.drain import insists, stop_signals
from services.chassis.errors import DomainError
from services.chassis.observe import logs, telemetry
from services.chassis.server import loop
from services.chassis.server.collecting import collecting, leave_out_what_there_is
from services.chassis.server.server import RunningServer, running
from services.chassis.server.service import Build, Chassis, S, Service
from services.chassis.startup import StartupRefusedError

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_REFUSED = 2

FLUSH_S = 1.0

log = logging.getLogger(__name__)


def run(settings_type: type[S], build: Build[S]) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; answer the exit code of the process.

    0 after a drain; 2 when the process refuses to start, with one line on standard error that names
    the fix; 1 after a defect, whose traceback is in the log.
    """
    try:
        settings = load_settings(settings_type)
    except StartupRefusedError as error:
        return _refused(settings_type.service(), error)
    # Its own lines on standard error would break up ours; what matters reaches us as exceptions.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logs.configure(settings.log_level, settings.log_format)
    log.info("settings that differ from their defaults", extra=settings.describe_chosen())
    exporting = telemetry.setup(settings_type.service(), settings.otlp_endpoint)
    try:
        sys.setswitchinterval(slices.SWITCH_S)
        _arm(settings.failpoints)
        loop.run(_serve(settings, build), settings.event_loop)
    except (StartupRefusedError, DomainError) as error:
        return _refused(settings_type.service(), error)
    except Exception:
        log.exception("the process failed")
        return EXIT_CRASHED
    finally:
        flush(exporting)
    return EXIT_OK


def flush(exporting: telemetry.Telemetry) -> None:
    """Export what is left, but do not wait for a receiver that is away: the grace is over."""
    shutting_down = threading.Thread(target=exporting.shutdown, name="flush", daemon=True)
    shutting_down.start()
    shutting_down.join(FLUSH_S)
    if shutting_down.is_alive():
        log.warning("telemetry was not exported in time", extra={"limit_s": FLUSH_S})


def _refused(service: str, error: Exception) -> int:
    sys.stderr.write(f"runyard {service}: {' '.join(str(error).split())}\n")
    return EXIT_REFUSED


def _arm(spec: str) -> None:
    if spec:
        log.warning("failpoints are armed: this process fails on purpose", extra={"spec": spec})
        failpoints.arm_ahead(spec)


def _knowing_failpoints(build: Build[S]) -> Build[S]:
    """Check the names that were armed as soon as ``build`` has imported all there is."""

    async def built(settings: S, chassis: Chassis) -> Service:
        service = await build(settings, chassis)
        failpoints.check_names()
        return service

    return built


async def _serve(settings: S, build: Build[S]) -> None:
    stop = _Stop()
    try:
        async with (
            collecting(SystemClock()),
            running(settings, _knowing_failpoints(build)) as server,
        ):
            stop.serves(server)
            log.info("serving", extra={"address": server.target, **_facts(server)})
            leave_out_what_there_is()
            await stop.requested.wait()
    except asyncio.CancelledError:
        if not stop.requested.is_set():
            raise
    log.info("stopped")


def _facts(server: RunningServer) -> dict[str, object]:
    facts = server.service.server_info
    return {
        "version": facts.version,
        "store": f"{facts.store.engine} {facts.store.version}",
        "durability": facts.store.durability,
    }


class _Stop:
    """The first signal asks for a drain, or ends a start; the second gives it no more time.

    A third finds the default handler and kills.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self._give_up: Callable[[], object] = _current_task().cancel
        self._server: RunningServer | None = None
        self._loop = asyncio.get_running_loop()
        self._handled = stop_signals()
        for number in self._handled:
            self._loop.add_signal_handler(number, self._signalled, number)

    def serves(self, server: RunningServer) -> None:
        self._server = server

    def _signalled(self, number: signal.Signals) -> None:
        log.info("signal", extra={"signal": number.name})
        first = not self.requested.is_set()
        if not (first or insists(number)):
            return
        self.requested.set()
        if self._server is None:
            self._give_up()
        elif not first:
            self._server.skip_grace()
        if not first:
            for restored in self._handled:
                self._loop.remove_signal_handler(restored)


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not in a task")
    return task
