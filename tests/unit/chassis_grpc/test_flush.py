"""The last export of a process."""

from __future__ import annotations

import threading

import pytest

from services.chassis.observe.telemetry import Telemetry
from services.chassis.server.process import flush


class Receiver(Telemetry):
    """Telemetry whose last export waits until it may go on."""

    def __init__(self, reachable: bool) -> None:
        super().__init__()
        self.may_end, self.ended = threading.Event(), threading.Event()
        if reachable:
            self.may_end.set()

    def shutdown(self) -> None:
        self.may_end.wait()
        self.ended.set()


def test_what_is_left_is_exported_before_the_end(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(reachable=True)
    flush(receiver)
    assert receiver.ended.is_set()
    assert caplog.messages == []


def test_a_receiver_that_is_away_does_not_keep_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = Receiver(reachable=False)
    flush(receiver)
    assert not receiver.ended.is_set()
    assert caplog.messages == ["telemetry was not exported in time"]
    receiver.may_end.set()
    assert receiver.ended.wait(timeout=10)
