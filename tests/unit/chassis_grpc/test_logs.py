"""Log records as lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from services.chassis.observe import logs
from services.chassis.observe.telemetry import span
from tests.support.spans import recording

LOG = logging.getLogger("services.a")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where log lines go; what was configured before is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_has_message_fields_and_exception(stream: io.StringIO) -> None:
    logs.configure("info", "json", stream)
    try:
        int("broken")
    except ValueError:
        LOG.exception("call %s", "failed", extra={"rpc_code": "OK", "n": 3})

    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line.pop("exception").endswith("literal for int() with base 10: 'broken'")
    assert line == {
        "level": "error",
        "logger": "services.a",
        "message": "call failed",
        "rpc_code": "OK",
        "n": 3,
    }


def test_a_text_line_begins_with_the_time_and_ends_with_the_fields(stream: io.StringIO) -> None:
    logs.configure("info", "text", stream)
    LOG.info("settings", extra={"plain": "x:1", "spaced": "a b", "empty": ""})
    line = stream.getvalue()
    assert line.endswith(' INFO    services.a settings plain=x:1 spaced="a b" empty=""\n')
    assert line.startswith("20")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_value_cannot_forge_a_line(stream: io.StringIO, log_format: str) -> None:
    logs.configure("info", log_format, stream)
    LOG.info("call", extra={"id": 'x\n2026-01-01 ERROR a forged="1"\x1b[2J'})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_message_of_a_library_cannot_forge_a_line(stream: io.StringIO) -> None:
    """gRPC's hold the method that a caller made up."""
    logs.configure("info", "text", stream)
    logging.getLogger("grpc").error("Unexpected error in [%s]", "/x\n2026-01-01 ERROR a\x9b2J")
    assert stream.getvalue().endswith(
        " grpc Unexpected error in [/x\\n2026-01-01 ERROR a\\u009b2J]\n"
    )


def test_libraries_tell_of_trouble_alone(stream: io.StringIO) -> None:
    """Below that they quote what users said, as the parameters of statements."""
    logs.configure("debug", "text", stream)
    logging.getLogger("aiosqlite").debug("executing %s", "insert into message values ('hello')")
    logging.getLogger("aiosqlite").info("executed")
    logging.getLogger("aiosqlite").warning("slow")
    LOG.debug("looked")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "WARNING aiosqlite slow",
        "DEBUG   services.a looked",
    ]


def test_a_text_line_shows_the_exception_below(stream: io.StringIO) -> None:
    logs.configure("info", "text", stream)
    try:
        int("broken")
    except ValueError:
        LOG.exception("failed")
    assert stream.getvalue().endswith("literal for int() with base 10: 'broken'\n")


def test_a_line_inside_a_span_has_its_ids(stream: io.StringIO) -> None:
    logs.configure("info", "json", stream)
    with recording(), span("work") as work:
        LOG.info("inside")
    LOG.info("outside")

    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    context = work.get_span_context()
    assert inside["trace_id"] == f"{context.trace_id:032x}"
    assert inside["span_id"] == f"{context.span_id:016x}"
    assert "trace_id" not in outside


def test_records_below_the_level_are_left_out(stream: io.StringIO) -> None:
    logs.configure("warning", "text", stream)
    LOG.info("quiet")
    LOG.warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
