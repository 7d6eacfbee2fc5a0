"""Log records as text or JSON lines: a constant message, fields beside it, and their trace.

Code logs with the standard library; ``extra`` holds the fields.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry import trace

_OURS = __name__.partition(".")[0]
# How gRPC begins to quote metadata that it cannot decode: a token may stand in it.
_QUOTES_METADATA = "Invalid encoding on"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every logger's records to ``stream``, standard error by default.

    Those of libraries from warnings on alone: below, they tell what is in statements and requests.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_may_be_told)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


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
    """What the caller passed as ``extra``, and the ids of the current span."""
    fields = {key: value for key, value in vars(record).items() if key not in _OWN}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        fields["trace_id"] = trace.format_trace_id(context.trace_id)
        fields["span_id"] = trace.format_span_id(context.span_id)
    return fields


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _may_be_told(record: logging.LogRecord) -> bool:
    if record.name.partition(".")[0] == _OURS:
        return True
    return record.levelno >= logging.WARNING and not str(record.msg).startswith(_QUOTES_METADATA)


def _one_line(text: str) -> str:
    """What libraries say may hold what a caller sent."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _word(value: object) -> str:
    """One line whatever the value holds: a caller must not be able to forge a second one."""
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
