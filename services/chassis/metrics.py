"""Instruments: declared once as a constant of a module, used from any thread.

    MUTATIONS = Counter("runyard.registry.mutations", "{mutation}", "Mutations, by outcome.")
    MUTATIONS.add(1, {OUTCOME: "applied"})

They record into whatever ``telemetry.setup`` has put in force. While nothing measures, a use costs
a look at one variable; what is expensive to find out is asked for ``if measuring()`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeAlias, TypeVar

from opentelemetry import metrics as otel

SCOPE = "runyard"
# Of the conventions for calls; they serve for whatever is waited for.
SECONDS: Sequence[float] = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
# For work that is done in less than a millisecond when all is well.
SHORT_SECONDS: Sequence[float] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *SECONDS)

Attributes: TypeAlias = Mapping[str, str | int | bool]

I = TypeVar("I")  # noqa: E741  # the instrument of OpenTelemetry


class _InForce:
    """Who measures; None while nobody does."""

    provider: otel.MeterProvider | None = None


_declared: dict[str, Instrument[object]] = {}


def measure_with(provider: otel.MeterProvider | None) -> None:
    """Record with ``provider`` from now on, with None no more."""
    _InForce.provider = provider


def measuring() -> bool:
    """Whether anybody measures."""
    return _InForce.provider is not None


def declared() -> Mapping[str, Instrument[object]]:
    """Every instrument of the modules that were imported, by name."""
    return dict(_declared)


class Instrument(Generic[I]):
    """One metric.

    Attributes:
        kind: As OpenTelemetry calls it.
        unit: UCUM, as ``s`` or ``{call}``.
    """

    kind = ""

    def __init__(self, name: str, unit: str, description: str) -> None:
        if name in _declared:
            raise ValueError(f"metric {name} is declared twice")
        self.name = name
        self.unit = unit
        self.description = description
        self._made: tuple[otel.MeterProvider, I] | None = None
        _declared[name] = self  # type: ignore[assignment]  # whatever it records with

    def _make(self, meter: otel.Meter) -> I:
        raise NotImplementedError

    def _found(self) -> I | None:
        provider = _InForce.provider
        if provider is None:
            return None
        made = self._made
        if made is None or made[0] is not provider:
            # Two threads may both make it: the provider gives both the same one.
            self._made = made = provider, self._make(provider.get_meter(SCOPE))
        return made[1]


class Counter(Instrument[otel.Counter]):
    """What only grows."""

    kind = "counter"

    def _make(self, meter: otel.Meter) -> otel.Counter:
        return meter.create_counter(self.name, self.unit, self.description)

    def add(self, amount: float, attributes: Attributes | None = None) -> None:
        if found := self._found():
            found.add(amount, attributes)


class UpDownCounter(Instrument[otel.UpDownCounter]):
    """How many there are."""

    kind = "up-down counter"

    def _make(self, meter: otel.Meter) -> otel.UpDownCounter:
        return meter.create_up_down_counter(self.name, self.unit, self.description)

    @contextmanager
    def one_more(self, attributes: Attributes | None = None) -> Iterator[None]:
        """Count one for the length of the block, with the same provider at both ends."""
        found = self._found()
        if found is None:
            yield
            return
        found.add(1, attributes)
        try:
            yield
        finally:
            found.add(-1, attributes)


class Gauge(Instrument["otel._Gauge"]):
    """What was seen last."""

    kind = "gauge"

    def _make(self, meter: otel.Meter) -> otel._Gauge:  # it has no other name
        return meter.create_gauge(self.name, self.unit, self.description)

    def set(self, value: float, attributes: Attributes | None = None) -> None:
        if found := self._found():
            found.set(value, attributes)


class Histogram(Instrument[otel.Histogram]):
    """How values are spread over ``bounds``."""

    kind = "histogram"

    def __init__(
        self, name: str, unit: str, description: str, bounds: Sequence[float] = SECONDS
    ) -> None:
        super().__init__(name, unit, description)
        self.bounds = bounds

    def _make(self, meter: otel.Meter) -> otel.Histogram:
        return meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.bounds
        )

    def record(self, value: float, attributes: Attributes | None = None) -> None:
        if found := self._found():
            found.record(value, attributes)

    def record_since(self, start_s: float, attributes: Attributes | None = None) -> None:
        """The seconds since ``start_s`` of ``time.monotonic``."""
        if found := self._found():
            found.record(time.monotonic() - start_s, attributes)
