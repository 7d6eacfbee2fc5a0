"""Small rules that several kinds share; each answers what is wrong, never the first thing only."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from services.chassis.errors import Violation
from services.registry.core.model import CredentialRef, EnvCredential
from services.registry.core.secrets import looks_like_secret

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}", re.ASCII)
MAX_PATH_CHARS = 4096
MAX_NAME_CHARS = 512
MAX_HEADER_CHARS = 4096

PASTED = "looks like a secret; name the environment variable or file that holds it"


def name(value: str, field: str) -> Iterator[Violation]:
    """A required name that is not an id of ours."""
    if not value.strip():
        yield Violation(field, "must not be empty")
    elif len(value) > MAX_NAME_CHARS:
        yield Violation(field, f"is {len(value)} characters, at most {MAX_NAME_CHARS} are allowed")


def header_text(value: str, field: str) -> Iterator[Violation]:
    """What travels as a header of a call: empty, or a short line."""
    if len(value) > MAX_HEADER_CHARS:
        yield Violation(
            field, f"is {len(value):,} characters, at most {MAX_HEADER_CHARS:,} are allowed"
        )
    elif not value.isprintable():
        yield Violation(field, "must not contain control characters")
    elif value != value.strip():
        yield Violation(field, "must not begin or end with a blank")


def at_most(count: int, limit: int, what: str, field: str) -> Iterator[Violation]:
    if count > limit:
        yield Violation(field, f"has {count} {what}, at most {limit} are allowed")


def between(
    value: float | None, least: float, most: float, field: str, unit: str = ""
) -> Iterator[Violation]:
    """``value`` lies in [least, most]; None is not checked."""
    if value is not None and not least <= value <= most:
        lower, upper = f"{_exact(least)}{unit}", f"{_exact(most)}{unit}"
        yield Violation(field, f"is {_exact(value)}{unit}, must be {lower} to {upper}")


def _exact(value: float) -> str:
    """With so many digits that what is barely out of range does not look like its limit."""
    return f"{value:,.15g}"


def lasts(
    value: timedelta | None, least: timedelta, most: timedelta, field: str
) -> Iterator[Violation]:
    """``value`` lies in [least, most]; None is not checked."""
    seconds = None if value is None else value.total_seconds()
    return between(seconds, least.total_seconds(), most.total_seconds(), field, " s")


def positive(value: timedelta | None, most: timedelta, field: str) -> Iterator[Violation]:
    """``value`` lies in (0, most]; None is not checked."""
    if value is not None and not timedelta(0) < value <= most:
        seconds, limit = _exact(value.total_seconds()), _exact(most.total_seconds())
        yield Violation(field, f"is {seconds} s, must be more than 0 s, at most {limit} s")


def distinct(values: Iterable[Hashable], field: str, member: str = "") -> Iterator[Violation]:
    """No value twice; the later one is at fault."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Violation(f"{field}[{index}]{member}", "occurs more than once")
        seen.add(value)


def url(value: str, field: str) -> Iterator[Violation]:
    """An http or https URL of a host, without query, fragment, user and blanks."""
    try:
        parts = urlsplit(value)
        legal = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a malformed port or bracketed host
        legal = False
    if not legal:
        yield Violation(field, "must be an http or https URL")
    elif " " in value or not value.isprintable():
        # Which the parser drops in silence; whoever calls the address might not.
        yield Violation(field, "must not contain blanks and control characters")
    elif "?" in value or "#" in value or "@" in parts.netloc:
        yield Violation(field, "must have no query, fragment and user")
    elif len(value) > MAX_PATH_CHARS:
        yield Violation(field, f"must have at most {MAX_PATH_CHARS} characters")


def credential(ref: CredentialRef | None, field: str) -> Iterator[Violation]:
    """A reference, never the secret itself; a violation does not repeat the value."""
    if ref is None:
        return
    if isinstance(ref, EnvCredential):
        if looks_like_secret(ref.env):
            yield Violation(f"{field}.env", PASTED)
        elif not _ENV_NAME.fullmatch(ref.env):
            yield Violation(
                f"{field}.env",
                "must be the name of an environment variable: letters, digits and underscores, "
                "no digit first",
            )
        return
    if any(looks_like_secret(part) for part in ref.file.split("/")):
        yield Violation(f"{field}.file", PASTED)
    elif not _is_absolute_path(ref.file):
        yield Violation(f"{field}.file", "must be an absolute path without '..'")


def _is_absolute_path(path: str) -> bool:
    return (
        path.startswith("/")
        and len(path) <= MAX_PATH_CHARS
        and path.isprintable()
        and ".." not in path.split("/")
    )
