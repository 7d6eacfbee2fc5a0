"""Which calls are logged at which level."""

from __future__ import annotations

import logging

import grpc
import pytest

from services.chassis.config.settings import AccessLog
from services.chassis.server.handlers.observing import CallLog

OK, CANCELLED = grpc.StatusCode.OK, grpc.StatusCode.CANCELLED
DEBUG, INFO = logging.DEBUG, logging.INFO


@pytest.mark.parametrize(
    ("access_log", "code", "unary", "lasted_s", "level"),
    [
        pytest.param(AccessLog.PROBLEMS, OK, True, 0.999, DEBUG, id="quick"),
        pytest.param(AccessLog.PROBLEMS, OK, True, 1.0, INFO, id="slow"),
        pytest.param(AccessLog.PROBLEMS, OK, False, 60.0, DEBUG, id="stream that ended"),
        pytest.param(AccessLog.PROBLEMS, CANCELLED, True, 0.1, INFO, id="caller left"),
        pytest.param(AccessLog.PROBLEMS, CANCELLED, False, 0.1, DEBUG, id="reader left"),
        pytest.param(AccessLog.ALL, OK, True, 0.1, INFO, id="all: quick"),
        pytest.param(AccessLog.ALL, OK, False, 60.0, INFO, id="all: stream that ended"),
        pytest.param(AccessLog.ALL, CANCELLED, False, 0.1, INFO, id="all: reader left"),
    ],
)
def test_the_setting_says_which_calls_that_did_not_fail_are_logged(
    access_log: AccessLog, code: grpc.StatusCode, unary: bool, lasted_s: float, level: int
) -> None:
    assert CallLog.of(access_log, slow_call_s=1.0).level(code, unary, lasted_s) == level


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code not in {OK, CANCELLED}])
@pytest.mark.parametrize("access_log", AccessLog)
@pytest.mark.parametrize("unary", [True, False])
def test_calls_that_failed_are_logged_whatever_the_setting_says(
    access_log: AccessLog, code: grpc.StatusCode, unary: bool
) -> None:
    assert CallLog.of(access_log, slow_call_s=1.0).level(code, unary, 0.1) >= INFO
