"""What runs where when this machine runs everything: ports, files and settings of the four."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.services import LOOPBACK, SERVICES
from services.cli.traces.ring import spans_folder

# Whose address each service needs to know.
_SIBLINGS: Mapping[str, Sequence[str]] = {
    "registry": (),
    "router": ("registry",),
    "runcontrol": ("registry", "router", "pool"),
    "pool": ("runcontrol",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One stack.

    Attributes:
        data: Folder of everything it keeps; absolute.
        receiver_port: Where it takes spans.
    """

    data: Path
    receiver_port: int
    ports: Mapping[str, int]

    def target(self, service: str) -> str:
        return f"{LOOPBACK}:{self.ports[service]}"

    @property
    def spans(self) -> Path:
        return spans_folder(self.data)

    def log(self, service: str) -> Path:
        return self.data / "logs" / f"{service}.log"

    @property
    def otlp_endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.receiver_port}"

    def traces(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Where each service sends its spans: here, if the environment says nothing else."""
        variable = "RUNYARD_{}_OTLP_ENDPOINT".format
        return {
            service: self.environment(service, inherited)[variable(service.upper())]
            for service in SERVICES
        }

    @property
    def endpoints(self) -> str:
        """As ``RUNYARD_ENDPOINTS`` takes it."""
        return ",".join(f"{service}={self.target(service)}" for service in SERVICES)

    def environment(self, service: str, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of one child: the inherited one, in which addresses and databases of the
        stack replace those of the user.
        """
        prefix = f"RUNYARD_{service.upper()}_"
        ours = {
            f"{prefix}LISTEN": self.target(service),
            f"{prefix}DATABASE_URL": f"sqlite:///{self.data / service}.db",
        }
        for sibling in _SIBLINGS[service]:
            ours[f"{prefix}{sibling.upper()}_TARGET"] = self.target(sibling)
        return {f"{prefix}OTLP_ENDPOINT": self.otlp_endpoint, **inherited, **ours}


def make_plan(data: Path, port_base: int) -> Plan:
    """Lay out a stack; ``port_base`` is the receiver's port, the four follow; 0 picks free ones.

    Raises:
        CliError: A port is taken.
    """
    ports = free_ports(len(SERVICES) + 1) if port_base == 0 else _consecutive(port_base)
    return Plan(data.absolute(), ports[0], dict(zip(SERVICES, ports[1:], strict=True)))


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def _consecutive(base: int) -> list[int]:
    ports = list(range(base, base + len(SERVICES) + 1))
    taken = [port for port in ports if _taken(port)]
    if taken:
        raise CliError(
            f"port {', '.join(map(str, taken))} of {LOOPBACK} is taken",
            reason="PORT_TAKEN",
            hint="stop what listens there, perhaps another runyard up, "
            "or choose other ports with --port-base (0 picks free ones)",
            exit_code=EXIT_USAGE,
        )
    return ports


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last owner just left is not taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False
