"""Log records as text or JSON lines: a constant message, fields, trace id and span id.

Code logs with the standard library; ``extra`` holds the fields.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry import trace

_OURS = f"{__name__.partition('.')[0]}."
# Start of a gRPC log message that quotes undecodable metadata, which may hold a token.
_METADATA_QUOTE = "Invalid encoding on"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send the records of all loggers to ``stream``, standard error by default.

    Records of libraries below WARNING are dropped: they may hold the content of requests.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_may_be_logged)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Not in our lines, and a third of what a line costs: the place in the code, thread, process.
    logging._srcfile = None  # noqa: SLF001  # the documented way
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={_word(value)}" for key, value in fields_of(record).items())
        message = _one_line(record.getMessage())
        head = f"{_instant(record)} {record.levelname:<7} {record.name} {message}"
        line = f"{head} {fields}" if fields else head
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields passed as ``extra``, and the ids of the current span."""
    fields = {key: value for key, value in vars(record).items() if key not in _OWN}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        fields["trace_id"] = trace.format_trace_id(context.trace_id)
        fields["span_id"] = trace.format_span_id(context.span_id)
    return fields


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _may_be_logged(record: logging.LogRecord) -> bool:
    if record.name.startswith(_OURS):
        return True
    return record.levelno >= logging.WARNING and not str(record.msg).startswith(_METADATA_QUOTE)


def _one_line(text: str) -> str:
    """Escape line breaks: a library's message may quote what a caller sent."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _word(value: object) -> str:
    """Quote the value onto one line, so that a caller cannot forge a log line."""
    text = str(value)
    printable = text.isprintable()
    if text and printable and not ('"' in text or "=" in text or " " in text):
        return text
    return json.dumps(text, ensure_ascii=not printable)
