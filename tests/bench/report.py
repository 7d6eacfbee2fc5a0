"""How every benchmark reports: one table for people, one JSON file for programs.

``build/bench/<name>.json`` holds ``{"name", "machine", "arms": {arm: figures}, "ratios": {key:
number}}``. Higher is better in every ratio, and 1 means equal.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, float | int | str]

_FOLDER = Path("build") / "bench"
_PIPE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one run.

    Attributes:
        arms: What was measured, by name, in the same run and interleaved.
        ratios: Ours against a baseline; the key says which and under what load.
        targets: The least that a ratio has to be; shown, never asserted.
    """

    name: str
    arms: Mapping[str, Figures]
    ratios: Mapping[str, float]
    targets: Mapping[str, float]

    def publish(self, folder: Path = _FOLDER) -> Path:
        """Print both tables and write the JSON file; answer its path."""
        # Wide enough for every arm where nobody's window says how wide it is.
        console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
        console.print(_arms_table(self.name, self.arms))
        console.print(_ratios_table(self.ratios, self.targets))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        content = {"machine": machine(), **asdict(self)}
        del content["targets"]
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        console.print(f"written to {path}")
        return path


def median_ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median over the rounds: each compares two neighbours in time on a machine that varies."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder beside the report: others are often kept in memory, where fsync costs nothing."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
        yield Path(folder)


def machine() -> dict[str, str | int]:
    """What the figures depend on and a reader cannot see."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "grpcio": metadata.version("grpcio"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _arms_table(name: str, arms: Mapping[str, Figures]) -> Table:
    """One column per arm: names of figures are long, arms are few."""
    table = Table(title=f"bench {name}", title_justify="left")
    table.add_column("figure", no_wrap=True)
    for arm in arms:
        table.add_column(arm, justify="right")
    for figure in dict.fromkeys(figure for figures in arms.values() for figure in figures):
        table.add_row(figure, *(_shown(figures.get(figure, "")) for figures in arms.values()))
    return table


def _ratios_table(ratios: Mapping[str, float], targets: Mapping[str, float]) -> Table:
    table = Table()
    for column in ("ratio", "value", "target"):
        table.add_column(column, justify="left" if column == "ratio" else "right")
    for key, value in ratios.items():
        target = f">= {targets[key]:g}" if key in targets else ""
        table.add_row(key, f"{value:.2f}", target)
    return table


def _shown(figure: float | str) -> str:
    if isinstance(figure, str):
        return figure
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
