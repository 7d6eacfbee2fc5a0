"""Failpoints: nothing unless armed, exactly what was asked for when armed, no silent typo."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from services.chassis import failpoints
from services.chassis.errors import ErrorKind
from services.chassis.failpoints import FailpointError, failpoint
from services.chassis.startup import StartupRefusedError

FIRST = failpoint("sample.first")
SECOND = failpoint("sample.second")


def test_names_are_listed_sorted_and_by_prefix() -> None:
    assert failpoints.names("sample.") == ["sample.first", "sample.second"]
    assert set(failpoints.names()) > {"sample.first"}


@pytest.mark.parametrize("name", ["sample.first", "first", "Sample.first", "sample first", ""])
def test_a_name_is_used_once_and_has_two_parts(name: str) -> None:
    with pytest.raises(ValueError, match="used once"):
        failpoint(name)


def test_an_error_is_one_of_the_store_and_says_where() -> None:
    with failpoints.armed("sample.first=error"), pytest.raises(FailpointError) as caught:
        FIRST.reach()
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.metadata == {"failpoint": "sample.first"}
    assert str(caught.value) == "failpoint sample.first was reached"


def test_only_what_is_armed_acts_and_only_while_it_is() -> None:
    with failpoints.armed("sample.first=error"):
        SECOND.reach()
    FIRST.reach()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("sample.first=error", [1, 2, 3, 4, 5]), ("sample.first=error@3", [3])],
    ids=["without a number every time", "with a number that time and no other"],
)
def test_an_error_is_raised(spec: str, expected: list[int]) -> None:
    # given
    failed = []

    # when
    with failpoints.armed(spec) as arming:
        for number in range(1, 6):
            try:
                FIRST.reach()
            except FailpointError:
                failed.append(number)

    # then
    assert failed == expected
    assert arming["sample.first"].reached == 5


def test_what_was_armed_before_is_armed_again() -> None:
    with failpoints.armed("sample.first=error"):
        with failpoints.armed("sample.first=error@2, sample.second=error"):
            FIRST.reach()
        SECOND.reach()
        with pytest.raises(FailpointError):
            FIRST.reach()
    FIRST.reach()


def test_a_hang_ends_when_it_is_disarmed() -> None:
    # given
    passed = threading.Event()

    def work() -> None:
        FIRST.reach()
        passed.set()

    worker = threading.Thread(target=work)

    # when
    with failpoints.armed("sample.first=hang") as arming:
        worker.start()
        assert arming["sample.first"].acted.wait(10)

        # then
        assert not passed.is_set()
    worker.join(10)
    assert passed.is_set()


def test_a_kill_leaves_no_time_for_anything() -> None:
    # given
    program = """
from services.chassis import failpoints
point = failpoints.failpoint("sample.child")
failpoints.arm("sample.child=kill@2")
point.reach()
print("once", flush=True)
try:
    point.reach()
finally:
    print("twice", flush=True)
"""

    # when
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    # then
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, "once\n")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sample.frist=kill", "unknown failpoint sample.frist: did you mean sample.first?"),
        ("sample.first=eror", "unknown action eror: did you mean error?"),
        ("sample.first", "write each name once, as name=action or name=action@n"),
        ("sample.first=error@0", "write each name once"),
        ("sample.first=error@x", "write each name once"),
        ("sample.first=error,sample.first=kill", "write each name once"),
        ("sample.second=error,sample.frist=kill", "unknown failpoint sample.frist"),
    ],
)
def test_a_spec_with_a_mistake_is_refused_and_arms_nothing(spec: str, message: str) -> None:
    with pytest.raises(StartupRefusedError) as refused:
        failpoints.arm(spec)
    assert message in str(refused.value)
    FIRST.reach()
    SECOND.reach()


def test_an_empty_spec_arms_nothing() -> None:
    assert failpoints.arm("") == {}
    assert failpoints.arm(" , ") == {}


def test_a_name_armed_ahead_acts_once_its_module_is_there() -> None:
    # given
    failpoints.arm_ahead("sample.later=error@1")

    # when
    later = failpoint("sample.later")

    # then
    failpoints.check_names()
    with pytest.raises(FailpointError):
        later.reach()


def test_a_name_armed_ahead_that_never_comes_is_refused() -> None:
    # given
    failpoints.arm_ahead("sample.neverr=kill")

    # then
    with pytest.raises(StartupRefusedError, match=r"unknown failpoint sample\.neverr"):
        failpoints.check_names()
    failpoints.check_names()
